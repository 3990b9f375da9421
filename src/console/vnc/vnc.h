#pragma once
#include "console/display.h"
#include "console/input.h"
/*
 * vnc.h - screens for VNC viewers: RFB 3.8 (RFC 6143) with the extensions that viewers of virtual machines use.  See
 * docs/display.md.
 *
 * Everything happens on the main context's thread; no socket is ever waited for.  A viewer gets a picture only when it has
 * taken the last one, so what it costs is bounded, and one that stops taking is dropped.
 */
typedef struct VncServer VncServer;

typedef enum VncShare { VNC_SHARE_EXCLUSIVE_ALLOWED, VNC_SHARE_FORCED, VNC_SHARE_IGNORED } VncShare;

/* Strings stay the caller's. */
typedef struct VncConfig {
    const char *id;      /* for messages and the monitor */
    const char *host;    /* "" or NULL: every address of this host; path NULL */
    unsigned display, to; /* port 5900 + display, or the first free one up to 5900 + to */
    const char *path;    /* a UNIX socket instead */
    bool password;       /* ask for one; until it is set nobody gets in */
    const char *tls_dir; /* ca-cert.pem, server-cert.pem, server-key.pem: VeNCrypt only; NULL: plain */
    bool tls_anonymous;  /* TLS without certificates */
    bool verify_peer;    /* viewers must have a certificate of that CA */
    VncShare share;
    const char *name;    /* of the desktop */
    Display *screen;
    InputHub *input;
} VncConfig;

/* What the monitor tells the world. */
typedef enum VncEventKind { VNC_EVENT_CONNECTED, VNC_EVENT_INITIALIZED, VNC_EVENT_DISCONNECTED } VncEventKind;
typedef struct VncClientInfo {
    const char *host, *service, *family; /* "127.0.0.1", "40312", "ipv4"; a UNIX socket's: path, "", "unix" */
    const char *x509_dname;              /* NULL: none */
} VncClientInfo;
typedef struct VncListener {
    void (*event)(void *opaque, VncEventKind kind, const VncClientInfo *client);
    void *opaque;
} VncListener;

VncServer *vnc_open(const VncConfig *config, GError **err); /* a port in use is named */
void vnc_close(VncServer *s); /* NULL is fine */
void vnc_set_listener(VncServer *s, const VncListener *l);

/* At most 8 bytes count (RFB's DES); NULL: nobody gets in.  For new viewers. */
void vnc_set_password(VncServer *s, const char *password);
/* Seconds since 1970 from which the password opens no more; 0: never, INT64_MIN: now. */
void vnc_expire_password(VncServer *s, int64_t when);
void vnc_disconnect_all(VncServer *s);

typedef struct VncInfo {
    const char *id, *host, *service, *family, *auth; /* auth as query-vnc says it: "none", "vnc", "vencrypt+x509+vnc" */
    unsigned clients;
} VncInfo;
void vnc_info(const VncServer *s, VncInfo *ret);
bool vnc_client_info(const VncServer *s, unsigned n, VncClientInfo *ret); /* false: there are fewer */
