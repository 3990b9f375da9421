/* libcurl.c - the functions of libcurl by name. */
#include "block/protocol/libcurl.h"

#include <stddef.h>

static const char *const libraries[] = { "libcurl-gnutls.so.4", "libcurl.so.4", NULL };
static const LateSymbol symbols[] = {
    { "curl_easy_init", offsetof(LibCurl, init) },
    { "curl_easy_cleanup", offsetof(LibCurl, cleanup) },
    { "curl_easy_setopt", offsetof(LibCurl, setopt) },
    { "curl_easy_perform", offsetof(LibCurl, perform) },
    { "curl_easy_getinfo", offsetof(LibCurl, getinfo) },
    { "curl_easy_strerror", offsetof(LibCurl, strerror) },
    { 0 },
};

bool libcurl_load(LibCurl *ret, GError **err) { return late_load(libraries, symbols, "an image on a web server", ret, err); }
