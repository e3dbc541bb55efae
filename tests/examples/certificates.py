"""Certificates for tests, made by openssl."""

import os
import re
import ssl
import subprocess


def make(folder, name, *dns_names):
    """Writes NAME.pem and NAME.key, self-signed for `dns_names`; returns the options that name them."""
    certificate = os.path.join(folder, name + ".pem")
    key = os.path.join(folder, name + ".key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=" + dns_names[0], "-keyout", key, "-out", certificate, "-addext",
         "subjectAltName=" + ",".join("DNS:" + dns_name for dns_name in dns_names)],
        check=True, capture_output=True)
    return ["--tls-cert", certificate, "--tls-key", key]


def expiry(folder, name):
    """When NAME.pem expires, in seconds since 1970."""
    said = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", os.path.join(folder, name + ".pem")],
                          check=True, capture_output=True, text=True).stdout
    return ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter="))


def make_authority(folder, name="authority"):
    """One that certifies others: NAME.pem and NAME.key; returns the former."""
    make(folder, name, name)
    return os.path.join(folder, name + ".pem")


def certify(folder, name, alternative, authority="authority", *options):
    """Writes NAME.pem and NAME.key, certified by `authority`, for `alternative`: `email:a@b.example`,
    `IP:127.0.0.1`; returns both."""
    certificate, key, request = (os.path.join(folder, name + end) for end in (".pem", ".key", ".csr"))
    subprocess.run(
        ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=" + name, "-addext", "subjectAltName=" + alternative, "-keyout", key, "-out", request],
        check=True, capture_output=True)
    subprocess.run(
        ["openssl", "x509", "-req", "-in", request, "-CA", os.path.join(folder, authority + ".pem"), "-CAkey",
         os.path.join(folder, authority + ".key"), "-days", "2", "-copy_extensions", "copy", "-out", certificate,
         *options],
        check=True, capture_output=True)
    return certificate, key


def client_context():
    """For a client that takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def names_in(der):
    """The DNS names in a certificate."""
    shown = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-ext", "subjectAltName"],
                           input=der, check=True, capture_output=True).stdout.decode()
    return re.findall(r"DNS:([^,\s]+)", shown)
