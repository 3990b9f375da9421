#pragma once
#include <linux/kvm.h>
#include <pthread.h>

#include "machine/machine.h"
/* kvm.h - the KVM accelerator, inside.  Documentation/virt/kvm/api.rst of Linux is the specification. */

enum { KVM_MAX_SLOTS = 509 };

typedef struct KvmSlot {
    uint64_t gpa, size; /* size 0: free */
    uint8_t *host;
    RamBlock *ram;
    uint64_t offset; /* into ram */
    bool readonly, log_dirty;
} KvmSlot;

typedef struct KvmAccel {
    Accel accel;
    int kvm_fd, vm_fd;
    size_t run_size; /* bytes of the shared kvm_run area */
    GMutex lock;     /* of slots */
    KvmSlot slots[KVM_MAX_SLOTS];
    struct kvm_cpuid2 *supported;
    uint64_t arch_capabilities; /* what the kernel would show of the MSR */
    GArray *msrs;    /* uint32_t: which MSRs this host saves and restores */
    bool stood; /* the two that follow are how the machine's timers stand */
    struct kvm_pit_state2 pit;
    struct kvm_clock_data clock;
    char *map_error; /* a slot that the kernel refused: run() reports it */
} KvmAccel;

typedef struct KvmVcpu {
    Vcpu vcpu;
    int fd;
    struct kvm_run *run;
    pthread_t thread;
    bool io_pending; /* the last exit's access is finished by the next KVM_RUN only */
    bool stepping;
} KvmVcpu;

/* kvm_memory.c */
void kvm_map_changed(Accel *a, const FlatRange *old, size_t n_old, const FlatRange *now, size_t n_now);
bool kvm_dirty_log(Accel *a, RamBlock *ram, GError **err);
bool kvm_dirty_fetch(Accel *a, RamBlock *ram, GError **err); /* into its PAGE_DIRTY */
/* kvm_cpuid.c */
bool kvm_load_supported_cpuid(KvmAccel *k, GError **err);
void kvm_cpu_limit(CpuModel *ret);
bool kvm_set_cpuid(KvmVcpu *v, GError **err);
/* kvm_state.c */
bool kvm_load_msr_list(KvmAccel *k, GError **err);
bool kvm_get_state(Vcpu *vcpu, CpuState *ret, GError **err);
bool kvm_set_state(Vcpu *vcpu, const CpuState *s, GError **err);
/* kvm_irqchip.c */
bool kvm_save(Accel *a, GVariantBuilder *ret, GError **err);
bool kvm_load(Accel *a, GVariant *fields, GError **err);
void kvm_stand(Accel *a, bool standing);
/* kvm_run.c */
RunExit kvm_run_vcpu(Vcpu *vcpu);
void kvm_kick(Vcpu *vcpu);
bool kvm_step(Vcpu *vcpu, GError **err);
void kvm_thread_start(Vcpu *vcpu);
bool kvm_install_kick_signal(GError **err);

static inline KvmAccel *kvm_of(Vcpu *v) { return (KvmAccel *)v->accel; }
