/* SPDX-License-Identifier: MIT */
#ifndef TOOLS_SENDMAIL_RIGHTS_H
#define TOOLS_SENDMAIL_RIGHTS_H

/*
 * sendmail may be installed with the rights of a group (setgid) that may make files in the system's
 * `drop`. They are had only while a message is dropped: what a caller names besides, files and
 * folders, is opened by his own rights.
 */
void sendmail_rights_take(void);
void sendmail_rights_leave(void); /* until they are taken again */

/* For good: the rest is done as anybody would. */
void sendmail_rights_drop(void);

#endif
