/*
 * cpu_models.c - the CPU models by name.  Those that QEMU has too show the same family, model and features, as far as we
 * have them, so that a guest moves over without noticing.
 */
#include "isa/x86/cpu_models.h"

#include <stddef.h>

#define INTEL "GenuineIntel"
#define AMD "AuthenticAMD"

const CpuModelRow cpu_model_rows[] = {
    { .name = "486", .doc = "Intel 486 with CPUID", .vendor = INTEL, .brand = "", .family = 4, .model = 8, .level = 1, .phys_bits = 32,
      .features = "fpu vme pse" },
    { .name = "pentium", .doc = "Intel Pentium MMX", .vendor = INTEL, .brand = "", .family = 5, .model = 4, .stepping = 3, .level = 1,
      .phys_bits = 32, .parent = "486", .features = "de tsc msr mce cx8 mmx apic" },
    { .name = "pentium3", .doc = "Intel Pentium III", .vendor = INTEL, .brand = "", .family = 6, .model = 8, .stepping = 3, .level = 3,
      .phys_bits = 36, .parent = "pentium", .features = "pae sep mtrr pge mca cmov pat pse36 fxsr sse" },
    { .name = "qemu32", .doc = "plain 32-bit CPU", .vendor = INTEL, .brand = "Atoll virtual CPU (qemu32)", .family = 6, .model = 6, .stepping = 3,
      .level = 4, .xlevel = 0x80000004, .phys_bits = 36,
      .features = "fpu de pse tsc msr mce cx8 pge cmov pat fxsr mmx sse sse2 pae sep apic pni hypervisor" },
    { .name = "qemu64", .doc = "plain 64-bit CPU (the default)", .vendor = AMD, .brand = "Atoll virtual CPU (qemu64)", .family = 15, .model = 107,
      .stepping = 1, .level = 0xd, .xlevel = 0x8000000a, .phys_bits = 40, .parent = "qemu32",
      .features = "mtrr clflush mca pse36 cx16 lm syscall nx lahf_lm x2apic" },
    { .name = "x86-64-v2", .doc = "x86-64 micro-architecture level 2", .vendor = AMD, .brand = "Atoll virtual CPU (x86-64-v2)", .family = 15,
      .model = 107, .stepping = 1, .level = 0xd, .xlevel = 0x8000000a, .phys_bits = 40, .parent = "qemu64",
      .features = "popcnt ssse3 sse4.1 sse4.2" },
    { .name = "x86-64-v3", .doc = "x86-64 micro-architecture level 3", .vendor = AMD, .brand = "Atoll virtual CPU (x86-64-v3)", .family = 15,
      .model = 107, .stepping = 1, .level = 0xd, .xlevel = 0x8000000a, .phys_bits = 40, .parent = "x86-64-v2",
      .features = "xsave avx avx2 bmi1 bmi2 f16c fma abm movbe" },
    { .name = "max", .doc = "all that the accelerator can do on this host", .vendor = AMD, .brand = "Atoll virtual CPU (max)", .family = 15,
      .model = 107, .stepping = 1, .level = 0xd, .xlevel = 0x8000000a, .phys_bits = 40 },
    { .name = "host", .doc = "this host's CPU, as far as the accelerator can do it", .vendor = "", .brand = "" },
    { .name = NULL },
};

const char cpu_features_own[] =
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr cx16 pcid x2apic movbe popcnt "
    "tsc-deadline xsave rdrand hypervisor arat fsgsbase tsc_adjust bmi1 smep bmi2 erms invpcid rdseed adx smap clflushopt clwb "
    "umip la57 rdpid serialize xsaveopt xsavec xgetbv1 syscall nx pdpe1gb rdtscp lm lahf_lm abm 3dnowprefetch cmp_legacy invtsc ht "
    "spec-ctrl arch-capabilities";

const char cpu_features_by_host[] = "sse sse2 pni pclmulqdq ssse3 fma sse4.1 sse4.2 aes avx f16c avx2 sha-ni";
