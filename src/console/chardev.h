#pragma once
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/*
 * chardev.h - the host's end of a serial line.  Backends: null, stdio, file, pty, socket (unix, tcp), and a mux that
 * lets several front ends share one (mon:stdio).  Everything happens on the main context's thread except write.
 */
typedef struct Chardev Chardev;
typedef enum ChardevEvent { CHARDEV_OPENED, CHARDEV_CLOSED, CHARDEV_BREAK } ChardevEvent;

/* A device's end.  Callbacks come on the main context's thread with no lock held. */
typedef struct ChardevFrontend {
    size_t (*can_receive)(void *opaque); /* bytes it takes now; when that grows call chardev_resume() */
    void (*receive)(void *opaque, const uint8_t *data, size_t n);
    void (*event)(void *opaque, ChardevEvent event); /* optional */
} ChardevFrontend;

/* spec as -serial and -chardev spell it: "stdio", "mon:stdio", "file:PATH", "pty", "unix:PATH,server=on,wait=off",
 * "tcp:HOST:PORT,...", "null", "none" gives NULL without an error.  -chardev's own form: "socket,id=a,path=...". */
Chardev *chardev_open(const char *id, const char *spec, GError **err);
void chardev_close(Chardev *c); /* flushes what it can without waiting, restores the terminal; NULL is fine */
const char *chardev_id(const Chardev *c);
const char *chardev_description(const Chardev *c); /* "pty:/dev/pts/3" */

void chardev_attach(Chardev *c, const ChardevFrontend *frontend, void *opaque); /* NULL detaches */
void chardev_resume(Chardev *c); /* any thread */
/* Any thread; never waits: what the peer does not take is queued up to a bound, then dropped oldest-first for devices
 * that cannot wait.  Returns n. */
size_t chardev_write(Chardev *c, const uint8_t *data, size_t n);
