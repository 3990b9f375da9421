#pragma once
#include <curl/curl.h>

#include "base/late.h"
/* libcurl.h - what of libcurl we call, loaded with the first image on a web server. */
typedef struct LibCurl {
    __typeof__(curl_easy_init) *init;
    __typeof__(curl_easy_cleanup) *cleanup;
    __typeof__(curl_easy_setopt) *setopt;
    __typeof__(curl_easy_perform) *perform;
    __typeof__(curl_easy_getinfo) *getinfo;
    __typeof__(curl_easy_strerror) *strerror;
} LibCurl;

bool libcurl_load(LibCurl *ret, GError **err);
