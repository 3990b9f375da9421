/* pool_memory.c - pools of test:///default: volumes that are records and nothing else. */
#include "manage/daemon/pool.h"

enum { MEMORY_GIB = 100 };

void pool_memory_found(Pool *def)
{
    def->capacity = (uint64_t)MEMORY_GIB << 30;
    def->allocation = 0;
    def->available = def->capacity;
}

static uint64_t size_of(const Volume *v, const Volume *from) { return v->capacity != RECORD_NONE ? v->capacity : from ? from->capacity : 0; }

/* On the main thread, when the job's turn has come and nothing speaks against it. */
void pool_memory_volume(ManagedPool *p, VolumeVerb verb, Volume *v, const Volume *from, uint64_t bytes)
{
    Volume *there = pool_volume(p, v->name);
    if (verb == VOLUME_REMOVE) {
        g_ptr_array_remove(p->volumes, there);
    } else if (verb == VOLUME_RESIZE) {
        there->capacity = bytes;
    } else if (verb == VOLUME_CREATE) {
        g_free(v->path);
        g_free(v->key);
        v->path = g_build_filename(p->def->target ? p->def->target : "/", v->name, NULL);
        v->key = g_strdup(v->path);
        v->capacity = size_of(v, from);
        v->allocation = v->allocation == RECORD_NONE ? v->capacity : v->allocation;
        v->format = v->format ? v->format : g_strdup("raw");
        v->type = 1;
        g_ptr_array_add(p->volumes, record_copy(v));
    }
}
