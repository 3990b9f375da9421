/* commands.c - the table of subcommands and options: what the parser, --help and the manual page are made of. */
#include "tools/img/commands.h"

#define FLAG(member) .flag_off = offsetof(ImgArgs, member)
#define TEXT(member) .text_off = offsetof(ImgArgs, member)
#define LIST(member) .list_off = offsetof(ImgArgs, member)
#define ACTION LIST(actions), .action = true
#define END { 0 }

/* Options that several subcommands share. */
#define HELP { 'h', "help", NULL, "print the options of the subcommand and leave", FLAG(help) }
#define OBJECT { 0, "object", "OBJECTDEF", "define an object, such as secret,id=ID,file=PATH or secret,id=ID,data=TEXT", LIST(objects) }
#define IMAGE_OPTS { 0, "image-opts", NULL, "the image is given as options: driver=qcow2,file.driver=file,file.filename=PATH", FLAG(image_opts) }
#define SHARE { 'U', "force-share", NULL, "open without a lock, also while others write: what is read may be inconsistent", FLAG(force_share) }
#define QUIET { 'q', NULL, NULL, "print errors only", FLAG(quiet) }
#define PROGRESS { 'p', NULL, NULL, "show progress", FLAG(progress) }
#define FORMAT { 'f', "format", "FMT", "format of the image (else guessed from its head)", TEXT(format) }
#define SHORT_FORMAT { 'f', NULL, "FMT", "format of the image (else guessed from its head)", TEXT(format) }
#define OUTPUT { 0, "output", "OFMT", "print for a human or as json", TEXT(output) }
#define CACHE { 't', NULL, "CACHE", "cache mode for writing: none, writeback, writethrough, directsync, unsafe", TEXT(cache) }
#define SRC_CACHE { 'T', NULL, "SRC_CACHE", "cache mode for reading", TEXT(src_cache) }
#define OPTIONS { 'o', NULL, "OPTIONS", "options of the format, as name=value,...; help lists them", LIST(options) }
#define FORCE { 0, "force", NULL, "do it although other images in the directory have this one as their base", FLAG(force) }

const ImgOption img_general[] = {
    { 'h', "help", NULL, "print help and the known formats, and leave" },
    { 'V', "version", NULL, "print the version and leave" },
    { 'T', "trace", "SPEC", "accepted for compatibility: there are no trace points" },
    { 0, "manual", NULL, "print the manual page (roff) and leave" },
    END,
};

static const ImgOption amend_options[] = {
    HELP, OBJECT, IMAGE_OPTS, PROGRESS, QUIET, SHORT_FORMAT, CACHE, OPTIONS,
    { 0, "force", NULL, "allow what can lose data, such as erasing the last LUKS key", FLAG(force) },
    END,
};

static const ImgOption bench_options[] = {
    HELP, IMAGE_OPTS, QUIET, SHORT_FORMAT, CACHE, SHARE,
    { 'c', NULL, "COUNT", "number of requests (default 75000)", TEXT(count) },
    { 'd', NULL, "DEPTH", "requests in flight (default 64)", TEXT(depth) },
    { 0, "flush-interval", "N", "flush after each N writes", TEXT(flush_interval) },
    { 'i', NULL, "AIO", "threads, native or io_uring; accepted, ours is chosen by what the host can", TEXT(aio) },
    { 'n', NULL, NULL, "the same as -i native", FLAG(native) },
    { 0, "no-drain", NULL, "flush without waiting for the requests in flight", FLAG(no_drain) },
    { 'o', NULL, "OFFSET", "where the first request starts", TEXT(offset) },
    { 0, "pattern", "BYTE", "what is written (default 0)", TEXT(pattern) },
    { 's', NULL, "BUFFER_SIZE", "bytes of a request (default 4096)", TEXT(buffer_size) },
    { 'S', NULL, "STEP_SIZE", "distance of requests (default: BUFFER_SIZE)", TEXT(step) },
    { 'w', NULL, NULL, "write instead of reading", FLAG(write) },
    END,
};

static const ImgOption bitmap_options[] = {
    HELP, OBJECT, IMAGE_OPTS, SHORT_FORMAT,
    { 0, "add", NULL, "create the bitmap, recording", ACTION },
    { 0, "remove", NULL, "delete it", ACTION },
    { 0, "clear", NULL, "forget what it has recorded", ACTION },
    { 0, "enable", NULL, "record from now on", ACTION },
    { 0, "disable", NULL, "stop recording", ACTION },
    { 0, "merge", "SOURCE", "add what the bitmap SOURCE has recorded", ACTION },
    { 'b', NULL, "SOURCE_FILE", "image that SOURCE is in (default: the same)", TEXT(backing) },
    { 'F', NULL, "SOURCE_FMT", "its format", TEXT(backing_format) },
    { 'g', NULL, "GRANULARITY", "bytes that one bit of a new bitmap stands for (default 64k)", TEXT(granularity) },
    END,
};

static const ImgOption check_options[] = {
    HELP, OBJECT, IMAGE_OPTS, QUIET, FORMAT, OUTPUT, SRC_CACHE, SHARE,
    { 'r', "repair", "leaks|all", "repair leaks only, or all that is wrong", TEXT(repair) },
    END,
};

static const ImgOption commit_options[] = {
    HELP, OBJECT, IMAGE_OPTS, QUIET, SHORT_FORMAT, CACHE, PROGRESS,
    { 'b', NULL, "BASE", "image of the chain to write into (default: the next one)", TEXT(backing) },
    { 'd', NULL, NULL, "do not empty the image afterwards", FLAG(drop) },
    { 'r', NULL, "RATE", "bytes a second at most", TEXT(rate) },
    FORCE,
    END,
};

static const ImgOption compare_options[] = {
    HELP, OBJECT, IMAGE_OPTS, PROGRESS, QUIET, SRC_CACHE, SHARE,
    { 'f', NULL, "FMT", "format of the first image", TEXT(format) },
    { 'F', NULL, "FMT", "format of the second image", TEXT(other_format) },
    { 's', NULL, NULL, "strict: sizes and what is allocated must be equal too", FLAG(strict) },
    END,
};

static const ImgOption convert_options[] = {
    HELP, OBJECT, IMAGE_OPTS, PROGRESS, QUIET, CACHE, SRC_CACHE, OPTIONS, SHARE,
    { 0, "target-image-opts", NULL, "the target is given as options", FLAG(target_image_opts) },
    { 'f', NULL, "FMT", "format of the sources (else guessed from their heads)", TEXT(format) },
    { 'O', NULL, "OUTPUT_FMT", "format of the target (default raw)", TEXT(out_format) },
    { 'c', NULL, NULL, "compress the target", FLAG(compress) },
    { 'n', NULL, NULL, "write into a target that exists", FLAG(no_create) },
    { 0, "target-is-zero", NULL, "with -n: the target reads as zeros", FLAG(target_is_zero) },
    { 'B', NULL, "BACKING_FILE", "what the target stands on: only what differs from it is written", TEXT(backing) },
    { 'F', NULL, "BACKING_FMT", "its format", TEXT(backing_format) },
    { 'l', NULL, "SNAPSHOT", "convert an internal snapshot: ID_OR_NAME, or snapshot.id=ID,snapshot.name=NAME", TEXT(snapshot) },
    { 'S', NULL, "SPARSE_SIZE", "zeros of at least that many bytes become holes (default 4k; 0: never)", TEXT(sparse) },
    { 'r', NULL, "RATE", "bytes a second at most", TEXT(rate) },
    { 'm', NULL, "N", "requests in flight, 1 to 16 (default 8)", TEXT(parallel) },
    { 'W', NULL, NULL, "write out of order; ours always may", FLAG(out_of_order) },
    { 'C', NULL, NULL, "let the kernel copy, where it can", FLAG(copy_offload) },
    { 0, "bitmaps", NULL, "copy the persistent bitmaps too", FLAG(bitmaps) },
    { 0, "skip-broken-bitmaps", NULL, "with --bitmaps: leave out those that are inconsistent", FLAG(skip_broken) },
    { 0, "salvage", NULL, "what cannot be read becomes zeros", FLAG(salvage) },
    END,
};

static const ImgOption create_options[] = {
    HELP, OBJECT, QUIET, OPTIONS,
    { 'f', NULL, "FMT", "format (default raw)", TEXT(format) },
    { 'b', NULL, "BACKING_FILE", "what the image stands on", TEXT(backing) },
    { 'F', NULL, "BACKING_FMT", "its format", TEXT(backing_format) },
    { 'u', NULL, NULL, "do not look whether the backing file can be opened", FLAG(unsafe) },
    END,
};

static const ImgOption dd_options[] = {
    HELP, OBJECT, IMAGE_OPTS, SHARE, SHORT_FORMAT,
    { 'O', NULL, "OUTPUT_FMT", "format of the output (default raw)", TEXT(out_format) },
    END,
};

static const ImgOption info_options[] = {
    HELP, OBJECT, IMAGE_OPTS, FORMAT, OUTPUT, SHARE,
    { 0, "backing-chain", NULL, "every image of the chain of backing files", FLAG(backing_chain) },
    { 0, "users", "DIR", "list the images in DIR that stand on this one", TEXT(users) },
    END,
};

static const ImgOption io_options[] = {
    HELP, OBJECT, IMAGE_OPTS, SHARE, FORMAT,
    { 'c', "cmd", "STRING", "run this command; else commands are read from standard input (help lists them)", LIST(actions) },
    { 'r', "read-only", NULL, "open read-only", FLAG(read_only) },
    { 's', "snapshot", NULL, "what is written goes to a temporary file and is forgotten", FLAG(temporary) },
    { 'n', "nocache", NULL, "the same as -t none", FLAG(no_cache) },
    { 'C', "copy-on-read", NULL, "keep what is read from backing files", FLAG(copy_on_read) },
    { 'm', "misalign", NULL, "accepted for compatibility: we align by ourselves", FLAG(unused) },
    { 'k', "native-aio", NULL, "the same as -i native", FLAG(native) },
    { 'i', "aio", "MODE", "threads, native or io_uring", TEXT(aio) },
    { 't', "cache", "MODE", "cache mode: none, writeback, writethrough, directsync, unsafe", TEXT(cache) },
    { 'd', "discard", "MODE", "ignore or unmap", TEXT(discard) },
    { 'T', "trace", "SPEC", "accepted for compatibility: there are no trace points", TEXT(step) },
    { 'V', "version", NULL, "print the version and leave", FLAG(version) },
    END,
};

static const ImgOption map_options[] = {
    HELP, OBJECT, IMAGE_OPTS, FORMAT, OUTPUT, SHARE,
    { 's', "start-offset", "OFFSET", "where to begin", TEXT(start) },
    { 'l', "max-length", "LEN", "how much to show", TEXT(max_length) },
    END,
};

static const ImgOption measure_options[] = {
    HELP, OBJECT, IMAGE_OPTS, OUTPUT, OPTIONS, SHARE,
    { 'f', NULL, "FMT", "format of the source", TEXT(format) },
    { 'O', NULL, "OUTPUT_FMT", "format to measure (default raw)", TEXT(out_format) },
    { 'l', NULL, "SNAPSHOT", "measure an internal snapshot", TEXT(snapshot) },
    { 0, "size", "N", "an empty image of that size instead of a source", TEXT(size) },
    END,
};

static const ImgOption nbd_options[] = {
    HELP, OBJECT, IMAGE_OPTS, FORMAT,
    { 'p', "port", "PORT", "TCP port (default 10809)", TEXT(port) },
    { 'b', "bind", "ADDRESS", "address to listen on (default: all)", TEXT(bind) },
    { 'k', "socket", "PATH", "unix socket to listen on instead", TEXT(socket_path) },
    { 'e', "shared", "NUM", "clients at once (default 1; 0: no limit)", TEXT(shared) },
    { 't', "persistent", NULL, "go on when the last client has left", FLAG(persistent) },
    { 'r', "read-only", NULL, "nobody may write", FLAG(read_only) },
    { 'x', "export-name", "NAME", "name of the export (default: empty)", TEXT(export_name) },
    { 'D', "description", "TEXT", "what clients are told about it", TEXT(description) },
    { 'B', "bitmap", "NAME", "show this dirty bitmap too", LIST(bitmap_names) },
    { 'A', "allocation-depth", NULL, "show how far down the chain of backing files data stand", FLAG(allocation_depth) },
    { 'o', "offset", "OFFSET", "the export begins there in the image", TEXT(offset) },
    { 'l', "load-snapshot", "SNAPSHOT", "export an internal snapshot, read-only", TEXT(snapshot) },
    { 0, "tls-creds", "ID", "speak TLS only, with these credentials (--object tls-creds-x509,id=ID,endpoint=server,dir=PATH)", TEXT(tls_creds) },
    { 0, "tls-hostname", "NAME", "accepted for compatibility: of clients' lists", TEXT(tls_hostname) },
    { 0, "cache", "CACHE", "cache mode: none, writeback, writethrough, directsync, unsafe", TEXT(cache) },
    { 'n', "nocache", NULL, "the same as --cache=none", FLAG(no_cache) },
    { 0, "aio", "AIO", "threads, native or io_uring", TEXT(aio) },
    { 0, "discard", "MODE", "ignore or unmap", TEXT(discard) },
    { 0, "detect-zeroes", "MODE", "off, on or unmap", TEXT(detect_zeroes) },
    { 0, "fork", NULL, "go to the background once clients may come", FLAG(fork) },
    { 0, "pid-file", "PATH", "write the process's number there", TEXT(pid_file) },
    { 'L', "list", NULL, "list the exports of another server (-b, -p or -k say which)", FLAG(list) },
    { 'v', "verbose", NULL, "say who comes and goes", FLAG(verbose) },
    { 'c', "connect", "DEV", "not supported: use nbd-client", TEXT(connect_device) },
    { 'd', "disconnect", NULL, "not supported: use nbd-client", FLAG(disconnect) },
    END,
};

static const ImgOption rebase_options[] = {
    HELP, OBJECT, IMAGE_OPTS, SHARE, QUIET, SHORT_FORMAT, CACHE, SRC_CACHE, PROGRESS,
    { 'u', NULL, NULL, "only change the name: what the guest sees may change", FLAG(unsafe) },
    { 'b', NULL, "BACKING_FILE", "the new backing file; \"\": none", TEXT(backing) },
    { 'F', NULL, "BACKING_FMT", "its format", TEXT(backing_format) },
    FORCE,
    END,
};

static const ImgOption reclaim_options[] = {
    HELP, OBJECT, IMAGE_OPTS, QUIET, PROGRESS, SHORT_FORMAT, OUTPUT,
    { 'n', "dry-run", NULL, "only say what would be given back", FLAG(dry_run) },
    END,
};

static const ImgOption resize_options[] = {
    HELP, OBJECT, IMAGE_OPTS, QUIET, SHORT_FORMAT,
    { 0, "preallocation", "MODE", "for what is added: off, metadata, falloc, full", TEXT(preallocation) },
    { 0, "shrink", NULL, "make it smaller: what lies beyond the new end is lost", FLAG(shrink) },
    FORCE,
    END,
};

static const ImgOption snapshot_options[] = {
    HELP, OBJECT, IMAGE_OPTS, SHARE, QUIET, SHORT_FORMAT,
    { 'l', NULL, NULL, "list the snapshots", ACTION },
    { 'a', NULL, "SNAPSHOT", "go back to it: what was written since is lost", ACTION },
    { 'c', NULL, "SNAPSHOT", "create it", ACTION },
    { 'd', NULL, "SNAPSHOT", "delete it", ACTION },
    FORCE,
    END,
};

const ImgCommand img_commands[] = {
    { "amend", "FILENAME", "change options of an image", .run = img_amend, .options = amend_options },
    { "bench", "FILENAME", "time sequential requests", .run = img_bench, .options = bench_options },
    { "bitmap", "FILENAME BITMAP", "change a persistent dirty bitmap", .run = img_bitmap, .options = bitmap_options },
    { "check", "FILENAME", "look for damage, and repair it", .run = img_check, .options = check_options,
      .manual = "Exit status: 0 sound (after repair), 1 not checked, 2 damaged, 3 leaks only, 63 the format holds nothing to check." },
    { "commit", "FILENAME", "write an image's changes into its backing file", .run = img_commit, .options = commit_options,
      .manual = "Refuses when other images in the directory of the base stand on it, for they would change: --force does it anyway." },
    { "compare", "FILENAME1 FILENAME2", "do two images hold the same?", .run = img_compare, .options = compare_options,
      .manual = "Exit status: 0 the same, 1 different, 2 an image cannot be opened, 3 what is allocated cannot be found out, 4 an image cannot be read." },
    { "convert", "FILENAME [FILENAME2 [...]] OUTPUT_FILENAME", "copy an image into another format", .run = img_convert, .options = convert_options,
      .manual = "The target is written under a temporary name in its directory and renamed when it is complete: there is never half an image. "
                "Several sources are put one after the other." },
    { "create", "FILENAME [SIZE]", "make an empty image", .run = img_create, .options = create_options },
    { "dd", "[bs=SIZE] [count=BLOCKS] [skip=BLOCKS] if=INPUT of=OUTPUT", "copy a part of an image", .run = img_dd, .options = dd_options },
    { "info", "FILENAME", "what an image is", .run = img_info, .options = info_options },
    { "io", "[FILENAME]", "read and write by commands, as qemu-io does", .run = img_io, .options = io_options },
    { "map", "FILENAME", "where the data of an image are", .run = img_map, .options = map_options },
    { "measure", "[FILENAME]", "how large an image would become", .run = img_measure, .options = measure_options },
    { "nbd", "FILENAME", "give an image to others over the network block device protocol", .run = img_nbd, .options = nbd_options,
      .manual = "Called as qemu-nbd it is that program. Ends when the last client has left, unless --persistent." },
    { "rebase", "FILENAME", "give an image another backing file", .run = img_rebase, .options = rebase_options },
    { "reclaim", "FILENAME", "give space back: zeros become holes, leaks are freed", .run = img_reclaim, .options = reclaim_options },
    { "resize", "FILENAME [+|-]SIZE", "make an image larger or smaller", .run = img_resize, .options = resize_options, .size_last = true },
    { "snapshot", "FILENAME", "list, create, apply and delete internal snapshots", .run = img_snapshot, .options = snapshot_options },
    { NULL },
};
