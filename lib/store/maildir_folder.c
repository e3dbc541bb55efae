/* SPDX-License-Identifier: MIT */
#include "store/maildir.h"

#include "base/mem.h"

static maildir_folder *find(const maildir *md, const char *path)
{
    for (list *at = md->folders.next; at != &md->folders; at = at->next) {
        maildir_folder *folder = LIST_OWNER(at, maildir_folder, link);

        if (strcmp(folder->path, path) == 0) {
            return folder;
        }
    }
    return NULL;
}

static void destroy(maildir *md, maildir_folder *folder)
{
    if (folder->tmp >= 0) {
        md->fs->ops->close(md->fs, folder->tmp);
    }
    if (folder->new >= 0) {
        md->fs->ops->close(md->fs, folder->new);
    }
    mem_free(md->mem, folder, sizeof(*folder) + strlen(folder->path) + 1);
}

static int open_folder(maildir *md, const char *path, maildir_folder **out)
{
    size_t size = strlen(path) + 1;
    maildir_folder *folder = mem_alloc(md->mem, sizeof(*folder) + size);
    int root;

    if (folder == NULL) {
        return MAIL_ENOMEM;
    }
    memcpy(folder->path, path, size);
    folder->tmp = folder->new = -1;
    root = maildir_open_made(md, path);
    if (root >= 0) {
        folder->tmp = maildir_open_sub(md, root, "tmp");
        folder->new = maildir_open_sub(md, root, "new");
        md->fs->ops->close(md->fs, root);
    }
    if (folder->tmp < 0 || folder->new < 0) {
        int code = root < 0 ? root : folder->tmp < 0 ? folder->tmp : folder->new;

        destroy(md, folder);
        return code;
    }
    *out = folder;
    return MAIL_OK;
}

/* Two that open the same at a time each keep their own: that costs only a sync more. */
int maildir_folder_use(maildir *md, const char *path, maildir_folder **out)
{
    maildir_folder *folder;
    int code;

    pthread_mutex_lock(&md->lock);
    folder = find(md, path);
    if (folder != NULL) {
        folder->uses++;
    }
    pthread_mutex_unlock(&md->lock);
    if (folder == NULL) {
        code = open_folder(md, path, &folder);
        if (code != MAIL_OK) {
            return code;
        }
        folder->uses = 1;
        pthread_mutex_lock(&md->lock);
        list_push_back(&md->folders, &folder->link);
        pthread_mutex_unlock(&md->lock);
    }
    *out = folder;
    return MAIL_OK;
}

void maildir_folder_drop(maildir *md, maildir_folder *folder)
{
    bool is_last;

    pthread_mutex_lock(&md->lock);
    is_last = --folder->uses == 0;
    if (is_last) {
        list_remove(&folder->link);
    }
    pthread_mutex_unlock(&md->lock);
    if (is_last) {
        destroy(md, folder);
    }
}
