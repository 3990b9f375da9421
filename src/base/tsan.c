/*
 * tsan.c - for builds with -Db_sanitize=thread alone: GLib's locks, which are made of futexes in a library that the thread
 * sanitizer has not compiled, so that it takes everything under them for a race.
 *
 * The linker's --wrap leads our calls here (meson.build), and the sanitizer is told what they order.
 */
#include <glib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);

/* Who comes in sees what whoever went out before has written. */
#define COMES_IN(name, type) \
    void __real_##name(type *lock); \
    void __wrap_##name(type *lock); \
    void __wrap_##name(type *lock) \
    { \
        __real_##name(lock); \
        __tsan_acquire(lock); \
    }
#define GOES_OUT(name, type) \
    void __real_##name(type *lock); \
    void __wrap_##name(type *lock); \
    void __wrap_##name(type *lock) \
    { \
        __tsan_release(lock); \
        __real_##name(lock); \
    }
COMES_IN(g_mutex_lock, GMutex)
GOES_OUT(g_mutex_unlock, GMutex)
COMES_IN(g_rec_mutex_lock, GRecMutex)
GOES_OUT(g_rec_mutex_unlock, GRecMutex)
COMES_IN(g_rw_lock_reader_lock, GRWLock)
GOES_OUT(g_rw_lock_reader_unlock, GRWLock)
COMES_IN(g_rw_lock_writer_lock, GRWLock)
GOES_OUT(g_rw_lock_writer_unlock, GRWLock)

gboolean __real_g_mutex_trylock(GMutex *lock);
gboolean __wrap_g_mutex_trylock(GMutex *lock);
gboolean __wrap_g_mutex_trylock(GMutex *lock)
{
    gboolean in = __real_g_mutex_trylock(lock);
    if (in)
        __tsan_acquire(lock);
    return in;
}

void __real_g_cond_wait(GCond *cond, GMutex *lock);
void __wrap_g_cond_wait(GCond *cond, GMutex *lock);
void __wrap_g_cond_wait(GCond *cond, GMutex *lock)
{
    __tsan_release(lock);
    __real_g_cond_wait(cond, lock);
    __tsan_acquire(lock);
}

gboolean __real_g_cond_wait_until(GCond *cond, GMutex *lock, gint64 end_us);
gboolean __wrap_g_cond_wait_until(GCond *cond, GMutex *lock, gint64 end_us);
gboolean __wrap_g_cond_wait_until(GCond *cond, GMutex *lock, gint64 end_us)
{
    __tsan_release(lock);
    gboolean signalled = __real_g_cond_wait_until(cond, lock, end_us);
    __tsan_acquire(lock);
    return signalled;
}

/* ---- queues hand things over */
void __real_g_async_queue_push(GAsyncQueue *queue, gpointer data);
void __wrap_g_async_queue_push(GAsyncQueue *queue, gpointer data);
void __wrap_g_async_queue_push(GAsyncQueue *queue, gpointer data)
{
    __tsan_release(queue);
    __real_g_async_queue_push(queue, data);
}

gpointer __real_g_async_queue_pop(GAsyncQueue *queue);
gpointer __wrap_g_async_queue_pop(GAsyncQueue *queue);
gpointer __wrap_g_async_queue_pop(GAsyncQueue *queue)
{
    gpointer data = __real_g_async_queue_pop(queue);
    __tsan_acquire(queue);
    return data;
}

/* Each pool's function is called by way of one that acquires first. */
typedef struct Pool {
    GFunc func;
    gpointer data;
} Pool;

static void call(gpointer item, gpointer user_data)
{
    Pool *p = user_data;
    __tsan_acquire(p);
    p->func(item, p->data);
}

GThreadPool *__real_g_thread_pool_new(GFunc func, gpointer data, gint threads, gboolean exclusive, GError **err);
GThreadPool *__wrap_g_thread_pool_new(GFunc func, gpointer data, gint threads, gboolean exclusive, GError **err);
GThreadPool *__wrap_g_thread_pool_new(GFunc func, gpointer data, gint threads, gboolean exclusive, GError **err)
{
    Pool *p = g_new(Pool, 1); /* as long as the process */
    *p = (Pool){ func, data };
    __tsan_release(p);
    return __real_g_thread_pool_new(call, p, threads, exclusive, err);
}

gboolean __real_g_thread_pool_push(GThreadPool *pool, gpointer item, GError **err);
gboolean __wrap_g_thread_pool_push(GThreadPool *pool, gpointer item, GError **err);
gboolean __wrap_g_thread_pool_push(GThreadPool *pool, gpointer item, GError **err)
{
    __tsan_release(pool->user_data);
    return __real_g_thread_pool_push(pool, item, err);
}
