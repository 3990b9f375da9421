#pragma once
#include <libnbd.h>

#include "base/late.h"
/* libnbd.h - what of libnbd we call, loaded with the first NBD image. */
typedef struct LibNbd {
    __typeof__(nbd_add_meta_context) *add_meta_context;
    __typeof__(nbd_block_status) *block_status;
    __typeof__(nbd_can_fast_zero) *can_fast_zero;
    __typeof__(nbd_can_flush) *can_flush;
    __typeof__(nbd_can_meta_context) *can_meta_context;
    __typeof__(nbd_can_multi_conn) *can_multi_conn;
    __typeof__(nbd_can_trim) *can_trim;
    __typeof__(nbd_can_zero) *can_zero;
    __typeof__(nbd_close) *close;
    __typeof__(nbd_connect_tcp) *connect_tcp;
    __typeof__(nbd_connect_unix) *connect_unix;
    __typeof__(nbd_connect_uri) *connect_uri;
    __typeof__(nbd_create) *create;
    __typeof__(nbd_flush) *flush;
    __typeof__(nbd_get_errno) *get_errno;
    __typeof__(nbd_get_error) *get_error;
    __typeof__(nbd_get_size) *get_size;
    __typeof__(nbd_is_read_only) *is_read_only;
    __typeof__(nbd_opt_abort) *opt_abort;
    __typeof__(nbd_opt_list) *opt_list;
    __typeof__(nbd_pread) *pread;
    __typeof__(nbd_pwrite) *pwrite;
    __typeof__(nbd_set_export_name) *set_export_name;
    __typeof__(nbd_set_opt_mode) *set_opt_mode;
    __typeof__(nbd_set_tls) *set_tls;
    __typeof__(nbd_set_tls_certificates) *set_tls_certificates;
    __typeof__(nbd_set_tls_psk_file) *set_tls_psk_file;
    __typeof__(nbd_set_tls_username) *set_tls_username;
    __typeof__(nbd_set_tls_verify_peer) *set_tls_verify_peer;
    __typeof__(nbd_set_uri_allow_local_file) *set_uri_allow_local_file;
    __typeof__(nbd_shutdown) *shutdown;
    __typeof__(nbd_trim) *trim;
    __typeof__(nbd_zero) *zero;
} LibNbd;

bool libnbd_load(LibNbd *ret, GError **err);
