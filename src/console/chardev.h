#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/*
 * chardev.h - the host's end of a serial line.  Backends: null, stdio, file, pty, socket (unix, tcp, telnet), udp, memory,
 * and a mux that lets several front ends share one (mon:stdio).  Everything happens on the main context's thread (GLib's
 * default one) except write and resume.
 */
typedef struct Chardev Chardev;
typedef enum ChardevEvent { CHARDEV_OPENED, CHARDEV_CLOSED, CHARDEV_BREAK } ChardevEvent;

/* A device's end.  Callbacks come on the main context's thread with no lock held. */
typedef struct ChardevFrontend {
    size_t (*can_receive)(void *opaque); /* bytes it takes now; when that grows call chardev_resume() */
    void (*receive)(void *opaque, const uint8_t *data, size_t n);
    void (*event)(void *opaque, ChardevEvent event); /* optional */
    void (*writable)(void *opaque); /* optional: chardev_write_room() has grown again */
    bool descriptors; /* wants those that come over a UNIX socket; else they are closed */
} ChardevFrontend;

/* spec as -serial and -chardev spell it: "stdio", "mon:stdio", "file:PATH", "pty", "unix:PATH,server=on,wait=off",
 * "tcp:HOST:PORT,...", "telnet:HOST:PORT,...", "udp:HOST:PORT@HOST:PORT", "null", "none" gives NULL without an error.  -chardev's own form: "socket,id=a,path=...": an id=
 * there wins over `id`. */
Chardev *chardev_open(const char *id, const char *spec, GError **err);
void chardev_close(Chardev *c); /* flushes for a second at most, restores the terminal; NULL is fine */
const char *chardev_id(const Chardev *c);
const char *chardev_description(const Chardev *c); /* "pty:/dev/pts/3" */
char **chardev_backends(void); /* names, NULL-terminated; caller frees with g_strfreev() */
/* Another backend behind it, while a front end has it; false: it is what it was. */
bool chardev_change(Chardev *c, const char *spec, GError **err);
void chardev_send_break(Chardev *c); /* to the front end, as if the other end had sent it */
bool chardev_in_use(Chardev *c); /* has a front end */
char *chardev_help(void); /* every backend and what it takes; caller frees */

void chardev_attach(Chardev *c, const ChardevFrontend *frontend, void *opaque); /* NULL detaches */
void chardev_resume(Chardev *c); /* any thread, the device's lock may be held */
/* Any thread; never waits: what the peer does not take is queued up to a bound, then dropped oldest-first for devices
 * that cannot wait.  Returns n. */
size_t chardev_write(Chardev *c, const uint8_t *data, size_t n);

/* The next descriptor that came with what receive() gets or got before, -1: none; the caller's.  What nobody has taken is closed when others
 * come, or with the connection. */
int chardev_take_descriptor(Chardev *c);

/* Bytes that chardev_write() takes now without a loss; for devices that can wait.  Any thread. */
size_t chardev_write_room(Chardev *c);

/* ---- mux: the keys after Ctrl-a; the chardev itself is the first front end's. */
bool chardev_is_mux(const Chardev *c);
/* Another front end's end of a mux: a Chardev of its own, to be closed before the mux.  Ctrl-a c goes round them. */
Chardev *chardev_share(Chardev *mux, const char *id);
/* What Ctrl-a x does; without it the key does nothing. */
void chardev_on_quit(Chardev *mux, void (*quit)(void *opaque), void *opaque);

bool chardev_is_shared(const Chardev *mux); /* has ends beside the first */
void chardev_set_escape(Chardev *mux, uint8_t key); /* instead of Ctrl-a */

/* ---- memory ("ringbuf"): a line whose other end is the caller.  Delivers at once what the front end takes, the rest when it
 * resumes (from the main context, so a test then calls g_main_context_iteration()). */
void chardev_memory_feed(Chardev *c, const uint8_t *data, size_t n);
bool chardev_is_memory(Chardev *c);
char *chardev_memory_read(Chardev *c, size_t most, size_t *ret_n); /* the oldest of it */
char *chardev_memory_take(Chardev *c, size_t *ret_n); /* what was written since; NUL-terminated; ret_n may be NULL; caller frees */
