/* libnbd.c - the functions of libnbd by name. */
#include "block/protocol/libnbd.h"

#include <stddef.h>

static const char *const libraries[] = { "libnbd.so.0", NULL };
static const LateSymbol symbols[] = {
    { "nbd_add_meta_context", offsetof(LibNbd, add_meta_context) },
    { "nbd_block_status", offsetof(LibNbd, block_status) },
    { "nbd_can_fast_zero", offsetof(LibNbd, can_fast_zero) },
    { "nbd_can_flush", offsetof(LibNbd, can_flush) },
    { "nbd_can_meta_context", offsetof(LibNbd, can_meta_context) },
    { "nbd_can_multi_conn", offsetof(LibNbd, can_multi_conn) },
    { "nbd_can_trim", offsetof(LibNbd, can_trim) },
    { "nbd_can_zero", offsetof(LibNbd, can_zero) },
    { "nbd_close", offsetof(LibNbd, close) },
    { "nbd_connect_tcp", offsetof(LibNbd, connect_tcp) },
    { "nbd_connect_unix", offsetof(LibNbd, connect_unix) },
    { "nbd_connect_uri", offsetof(LibNbd, connect_uri) },
    { "nbd_create", offsetof(LibNbd, create) },
    { "nbd_flush", offsetof(LibNbd, flush) },
    { "nbd_get_errno", offsetof(LibNbd, get_errno) },
    { "nbd_get_error", offsetof(LibNbd, get_error) },
    { "nbd_get_size", offsetof(LibNbd, get_size) },
    { "nbd_is_read_only", offsetof(LibNbd, is_read_only) },
    { "nbd_opt_abort", offsetof(LibNbd, opt_abort) },
    { "nbd_opt_list", offsetof(LibNbd, opt_list) },
    { "nbd_pread", offsetof(LibNbd, pread) },
    { "nbd_pwrite", offsetof(LibNbd, pwrite) },
    { "nbd_set_export_name", offsetof(LibNbd, set_export_name) },
    { "nbd_set_opt_mode", offsetof(LibNbd, set_opt_mode) },
    { "nbd_set_tls", offsetof(LibNbd, set_tls) },
    { "nbd_set_tls_certificates", offsetof(LibNbd, set_tls_certificates) },
    { "nbd_set_tls_psk_file", offsetof(LibNbd, set_tls_psk_file) },
    { "nbd_set_tls_username", offsetof(LibNbd, set_tls_username) },
    { "nbd_set_tls_verify_peer", offsetof(LibNbd, set_tls_verify_peer) },
    { "nbd_set_uri_allow_local_file", offsetof(LibNbd, set_uri_allow_local_file) },
    { "nbd_shutdown", offsetof(LibNbd, shutdown) },
    { "nbd_trim", offsetof(LibNbd, trim) },
    { "nbd_zero", offsetof(LibNbd, zero) },
    { 0 },
};

bool libnbd_load(LibNbd *ret, GError **err) { return late_load(libraries, symbols, "an NBD image", ret, err); }
