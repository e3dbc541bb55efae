"""The servers that libmail is measured against, each with its own durable defaults.

Postfix and Exim are unpacked from Debian's packages below /var/tmp/libmail-bench-peers (they would
replace each other and the machine's mail system if installed), run as root on high ports of
loopback, in a scratch folder, and drop privileges to the users made for them.
"""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
UNPACKED = pathlib.Path("/var/tmp/libmail-bench-peers")
USER = "libmailbench"
GROUP = "libmaildrop"
CERTIFICATE = ()  # paths of certificate and key, for those who serve TLS


def sh(*argv, **options):
    subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)


def have_user(name):
    try:
        pwd.getpwnam(name)
        return True
    except KeyError:
        return False


def install():
    """Fetches and unpacks what is missing. Returns the names of the peers that can run."""
    packages = {"postfix": "postfix", "exim4-daemon-light": "exim"}
    UNPACKED.mkdir(exist_ok=True)
    libraries = ["libicu72", "libnsl2", "libsasl2-2", "libssl3", "libdb5.3", "libgnutls-dane0", "libidn12",
                 "libpcre2-8-0"]
    sh("apt-get", "install", "-y", "-q", "--no-install-recommends", *libraries)
    if not have_user(USER):
        sh("groupadd", "-r", GROUP)
        sh("useradd", "-r", "-M", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", USER)
    if not have_user("Debian-exim"):  # its name is compiled in
        sh("useradd", "-r", "-M", "-d", "/nonexistent", "-s", "/usr/sbin/nologin", "Debian-exim")
    for package in packages:
        if not (UNPACKED / package).exists():
            (UNPACKED / "deb").mkdir(exist_ok=True)
            sh("apt-get", "download", "-q", package, cwd=UNPACKED / "deb")
            deb, = (UNPACKED / "deb").glob(f"{package}_*.deb")
            sh("dpkg", "-x", deb, UNPACKED / package)
    return list(packages.values())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_greeting(port, process, log):
    end = time.monotonic() + 15
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                if s.recv(100):
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"a peer did not start: {log.read_text()[-1000:]}")


class Peer:
    """A server below a reaper process, whose CPU time covers it and all its children."""

    def __init__(self, argv, port, folder, env=None):
        log = folder / "log"
        self.address = f"127.0.0.1:{port}"
        self.process = subprocess.Popen([sys.executable, HERE / "reaper.py", *map(str, argv)], env=env,
                                        stdout=open(log, "ab"), stderr=subprocess.STDOUT, start_new_session=True)
        self.pid = self.process.pid
        try:
            wait_for_greeting(port, self.process, log)
        except RuntimeError:
            self.stop()
            raise

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
command_directory = {root}/usr/sbin
daemon_directory = {folder}/daemons
shlib_directory = {root}/usr/lib/postfix
meta_directory = {root}/etc/postfix
mail_owner = {user}
setgid_group = {group}
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
myhostname = mx.bench.test
mydestination =
alias_maps =
local_recipient_maps =
default_process_limit = 300
smtpd_peername_lookup = no
in_flow_delay = 0
message_size_limit = 104857600
mailbox_size_limit = 0
virtual_mailbox_limit = 0
smtp_dns_support_level = disabled
default_destination_concurrency_limit = 50
initial_destination_concurrency = 20
smtpd_relay_restrictions = permit_mynetworks, reject
maillog_file = {folder}/log
maillog_file_prefixes = /var/tmp
import_environment = MAIL_CONFIG LD_LIBRARY_PATH LANG=C
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def postfix(folder, mode, sink):
    """Process limit above the connections, no name look-ups; hold, relayhost, or virtual(8)."""
    root, conf, port = UNPACKED / "postfix", folder / "conf", free_port()
    for name in ("conf", "spool", "data", "mail"):
        (folder / name).mkdir()
    folder.chmod(0o755)
    shutil.copytree(root / "usr/lib/postfix/sbin", folder / "daemons")
    shutil.chown(folder / "data", USER)
    shutil.chown(folder / "mail", USER)
    text = MAIN_CF.format(folder=folder, root=root, user=USER, group=GROUP)
    if mode in ("accept", "tls"):
        text += "smtpd_client_restrictions = static:HOLD\n"
        if mode == "tls":
            text += f"smtpd_tls_chain_files = {CERTIFICATE[1]}, {CERTIFICATE[0]}\nsmtpd_tls_security_level = may\n"
    elif mode == "relay":
        text += f"relayhost = [{sink.rsplit(':', 1)[0]}]:{sink.rsplit(':', 1)[1]}\n"
    else:
        user = pwd.getpwnam(USER)
        text += (f"virtual_mailbox_domains = bench.test\nvirtual_mailbox_base = {folder}/mail/bench.test\n"
                 f"virtual_uid_maps = static:{user.pw_uid}\n"
                 f"virtual_gid_maps = static:{user.pw_gid}\nvirtual_mailbox_maps = texthash:{conf}/boxes\n")
        (folder / "mail/bench.test").mkdir()
        shutil.chown(folder / "mail/bench.test", USER)
        (conf / "boxes").write_text("".join(f"u{i}@bench.test u{i}/\n" for i in range(100)))
    (conf / "main.cf").write_text(text)
    (conf / "master.cf").write_text(MASTER_CF.format(port=port))
    env = dict(os.environ, LD_LIBRARY_PATH=f"{root}/usr/lib/postfix", MAIL_CONFIG=str(conf))
    for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
                 "trace", "maildrop", "public", "pid"):
        (folder / "spool" / name).mkdir()
        if name != "pid":
            shutil.chown(folder / "spool" / name, USER)
    shutil.chown(folder / "spool/public", USER, GROUP)
    shutil.chown(folder / "spool/maildrop", USER, GROUP)
    (folder / "spool/maildrop").chmod(0o1730)
    return Peer([folder / "daemons/master", "-c", conf, "-d"], port, folder, env)


EXIM_CONF = """
exim_user = {user}
exim_group = {user}
never_users =
exim_path = {exim}
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
primary_hostname = mx.bench.test
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
keep_environment =
split_spool_directory = true
message_logs = false
rfc1413_query_timeout = 0s
smtp_accept_max = 0
smtp_accept_queue_per_connection = 0
smtp_accept_max_nonmail = 1000000
smtp_accept_max_per_connection = 0
smtp_connect_backlog = 1024
message_size_limit = 100M
deliver_drop_privilege = true
tls_advertise_hosts =
acl_smtp_rcpt = all
acl_smtp_data = all
{queue_only}
begin acl
all:
 accept
begin routers
{router}
"""

EXIM_RELAY = """
out:
 driver = manualroute
 route_list = * {host}
 self = send
 transport = out
begin transports
out:
 driver = smtp
 port = {port}
 allow_localhost
 hosts_avoid_tls = *
"""

EXIM_LOCAL = """
box:
 driver = accept
 address_data = ${{lookup{{$local_part}} dsearch,filter=dir{{{mail}}}{{$value}}fail}}
 transport = box
begin transports
box:
 driver = appendfile
 maildir_format
 directory = {mail}/$address_data
"""


def exim(folder, mode, sink):
    """Split spool, no look-ups of names; queue_only, manualroute, or appendfile to Maildirs."""
    program, port = UNPACKED / "exim4-daemon-light/usr/sbin/exim4", free_port()
    mail = folder / "mail/bench.test"
    for i in range(100):
        (mail / f"u{i}/new").mkdir(parents=True)
    (folder / "spool").mkdir()
    folder.chmod(0o755)
    host, sink_port = (sink or "127.0.0.1:9").rsplit(":", 1)
    router = EXIM_LOCAL.format(mail=mail) if mode == "local" else EXIM_RELAY.format(host=host, port=sink_port)
    conf = folder / "exim.conf"
    conf.write_text(EXIM_CONF.format(user=USER, exim=program, folder=folder, port=port, router=router,
                                     queue_only="queue_only = true" if mode == "accept" else ""))
    sh("chown", "-R", f"{USER}:", folder)
    shutil.chown(conf, "root", "root")
    return Peer([program, "-C", conf, "-bdf", "-q30m"], port, folder)


STARTERS = {"postfix": postfix, "exim": exim}
