/* identify.c - the 256 words of IDENTIFY DEVICE and IDENTIFY PACKET DEVICE.  ATA8-ACS 7.16 and 7.17. */
#include <string.h>

#include "devices/storage/ide_core.h"

typedef struct Word {
    uint8_t at;
    uint16_t value;
} Word;

static const Word disk_words[] = {
    { 0, 0x0040 },   /* fixed */
    { 21, 512 },     /* cache, sectors */
    { 22, 4 },
    { 47, 0x8000 | IDE_MAX_MULTIPLE },
    { 48, 1 },       /* 32-bit data port */
    { 49, 0x0b00 },  /* IORDY, LBA, DMA */
    { 50, 0x4000 },
    { 51, 0x0200 },
    { 52, 0x0200 },
    { 53, 7 },       /* 54-58, 64-70 and 88 are valid */
    { 64, 3 },       /* PIO 3 and 4 */
    { 65, 120 },     /* ns a word */
    { 66, 120 },
    { 67, 120 },
    { 68, 120 },
    { 80, 0x00f0 },  /* ATA-4 to ATA-7 */
    { 82, 0x0061 },  /* SMART, write cache, look-ahead */
    { 83, 0x7400 },  /* FLUSH EXT, FLUSH, 48-bit */
    { 84, 0x4060 },  /* WRITE FUA, logs */
    { 86, 0x3400 },  /* enabled: of 83 */
    { 87, 0x4060 },  /* enabled: of 84 */
    { 93, 0x6001 },  /* device 0 passed, 80-wire cable */
};

static const Word cd_words[] = {
    { 0, 0x85c0 },  /* packet, CD-ROM, removable, DRQ within 50 us, 12-byte packets */
    { 20, 3 },
    { 21, 512 },
    { 22, 4 },
    { 48, 1 },
    { 49, 0x0b00 },
    { 53, 7 },
    { 64, 3 },
    { 65, 0xb4 },
    { 66, 0xb4 },
    { 67, 0x12c },
    { 68, 0xb4 },
    { 71, 30 },     /* ns PACKET to bus release */
    { 72, 30 },
    { 80, 0x00f0 },
    { 82, 0x4210 }, /* NOP, DEVICE RESET, PACKET */
    { 83, 0x4000 },
    { 84, 0x4000 },
    { 85, 0x4210 },
    { 87, 0x4000 },
    { 93, 0x6001 },
};

static void put(IdeDrive *d, unsigned word, uint16_t value)
{
    d->buf[2 * word] = value;
    d->buf[2 * word + 1] = value >> 8;
}

static void put32(IdeDrive *d, unsigned word, uint32_t value)
{
    put(d, word, value);
    put(d, word + 1, value >> 16);
}

/* Padded with spaces, the bytes of each word swapped. */
static void put_text(IdeDrive *d, unsigned word, unsigned words, const char *text)
{
    size_t len = MIN(strlen(text), 2 * words);
    memset(d->buf + 2 * word, ' ', 2 * words);
    for (size_t i = 0; i < len; i++)
        d->buf[(2 * word + i) ^ 1] = text[i];
}

static void put_names(IdeDrive *d)
{
    put_text(d, 10, 10, d->medium->serial);
    put_text(d, 23, 4, d->medium->firmware);
    put_text(d, 27, 20, d->medium->model);
    put(d, 63, 0x07 | d->mwdma_mode << 8);
    put(d, 88, 0x3f | d->udma_mode << 8);
}

static void put_geometry(IdeDrive *d)
{
    uint64_t blocks = ide_blocks(d), chs = MIN(blocks, 16383ull * 16 * 63);
    uint32_t track = d->heads * d->sectors, cylinders = MIN(chs / track, 65535);
    put(d, 1, chs / (16 * 63));
    put(d, 3, 16);
    put(d, 6, 63);
    put(d, 54, cylinders);
    put(d, 55, d->heads);
    put(d, 56, d->sectors);
    put32(d, 57, cylinders * track);
    put32(d, 60, MIN(blocks, 0x0fffffff));
    put32(d, 100, blocks);
    put32(d, 102, blocks >> 32);
}

static void put_disk_settings(IdeDrive *d)
{
    put(d, 59, d->multiple ? 0x100 | d->multiple : 0);
    put(d, 85, d->smart | d->write_cache << 5 | d->look_ahead << 6);
}

/* SATA 3.1, 13.2: generations 1 and 2, queued commands of 32 tags; no cable to speak of. */
static void put_sata(IdeDrive *d)
{
    put(d, 93, 0);
    put(d, 76, d->medium->cd ? 0x0006 : 0x0106);
    if (!d->medium->cd)
        put(d, 75, 31);
}

/* Word 255: signature and a checksum that makes all bytes add up to 0. */
static void put_checksum(IdeDrive *d)
{
    uint8_t sum = 0xa5;
    for (unsigned i = 0; i < 510; i++)
        sum += d->buf[i];
    put(d, 255, 0xa5 | (uint8_t)-sum << 8);
}

void ata_identify(IdeDrive *d)
{
    bool cd = d->medium->cd;
    const Word *words = cd ? cd_words : disk_words;
    memset(d->buf, 0, DISK_BLOCK);
    for (unsigned i = 0; i < (cd ? G_N_ELEMENTS(cd_words) : G_N_ELEMENTS(disk_words)); i++)
        put(d, words[i].at, words[i].value);
    put_names(d);
    if (!cd) {
        put_geometry(d);
        put_disk_settings(d);
    }
    if (d->channel->ops->sata)
        put_sata(d);
    put_checksum(d);
}
