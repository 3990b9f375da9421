#pragma once
#include "manage/daemon/daemon_inside.h"
/* listing.h - listing and finding what a realm keeps: domains, networks, pools and secrets answer these calls alike. */
typedef struct Listing {
    const char *handle_type; /* of what a client is given, in the notation of GVariant */
    RpcError missing;
    const char *missing_text; /* "... %s '%s'": by what was looked for, and for what */
    const unsigned *groups;   /* of the flags of a list call, 0 ends: of each group that is asked for, one must be true */
    GHashTable *(*all)(const Realm *r);
    unsigned (*flags)(const void *object, unsigned wanted); /* those that are true; what costs a look at the disk, only where it is wanted */
    const char *(*key)(const void *object); /* lists are sorted by it; the realm's */
    GVariant *(*handle)(const void *object);
} Listing;

/* Sorted; the array is the caller's, the objects are the realm's.  flags 0: all. */
GPtrArray *listing_find(const Listing *l, const Realm *r, unsigned flags);

/* Answers of a call: the handles and their number, for arguments (wanted, flags); keys, for (most); a number; one object. */
void listing_reply_all(const Listing *l, const Client *c, RpcCall *call, GVariant *args);
void listing_reply_keys(const Listing *l, const Client *c, RpcCall *call, GVariant *args, unsigned flags);
void listing_reply_count(const Listing *l, const Client *c, RpcCall *call, unsigned flags);
void listing_reply_one(const Listing *l, RpcCall *call, const void *object, const char *by, const char *key); /* NULL: an error */
/* No such object. */
void listing_fail(const Listing *l, RpcCall *call, const char *by, const char *key);
