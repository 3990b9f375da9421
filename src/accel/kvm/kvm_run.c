/*
 * kvm_run.c - KVM_RUN and its exits.
 *
 * Kicks: the sender sets the request bit, then immediate_exit, then sends a signal.  The thread clears immediate_exit
 * before it looks at the requests, so whichever way they interleave it either sees the bit or KVM_RUN returns EINTR.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "accel/kvm/kvm.h"

static int kick_signal(void) { return SIGRTMIN; }

static void ignore_signal(int n) { (void)n; }

bool kvm_install_kick_signal(GError **err)
{
    struct sigaction action = { .sa_handler = ignore_signal };
    return sigaction(kick_signal(), &action, NULL) == 0 || error_set_errno(err, errno, "cannot install the kick signal");
}

void kvm_thread_start(Vcpu *vcpu)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, kick_signal());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    g_mutex_lock(&vcpu->lock);
    ((KvmVcpu *)vcpu)->thread = pthread_self();
    g_mutex_unlock(&vcpu->lock);
}

void kvm_kick(Vcpu *vcpu)
{
    KvmVcpu *v = (KvmVcpu *)vcpu;
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    g_mutex_lock(&vcpu->lock);
    if (v->thread && !pthread_equal(v->thread, pthread_self()))
        pthread_kill(v->thread, kick_signal());
    g_mutex_unlock(&vcpu->lock);
}

static RunExit broken(KvmVcpu *v, const char *format, ...) G_GNUC_PRINTF(2, 3);
static RunExit broken(KvmVcpu *v, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_free(v->vcpu.broken);
    v->vcpu.broken = g_strdup_vprintf(format, args);
    va_end(args);
    return RUN_BROKEN;
}

/* ---- exits */

static void handle_pio(KvmVcpu *v)
{
    uint8_t *data = (uint8_t *)v->run + v->run->io.data_offset;
    unsigned size = v->run->io.size;
    for (unsigned i = 0; i < v->run->io.count; i++, data += size) {
        uint64_t value = 0;
        if (v->run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            vcpu_pio_write(&v->vcpu, v->run->io.port, size, value);
        } else {
            value = vcpu_pio_read(&v->vcpu, v->run->io.port, size);
            memcpy(data, &value, size);
        }
    }
    v->io_pending = true;
}

static void handle_mmio(KvmVcpu *v)
{
    uint64_t value = 0;
    if (v->run->mmio.is_write) {
        memcpy(&value, v->run->mmio.data, v->run->mmio.len);
        vcpu_mmio_write(&v->vcpu, v->run->mmio.phys_addr, v->run->mmio.len, value);
    } else {
        value = vcpu_mmio_read(&v->vcpu, v->run->mmio.phys_addr, v->run->mmio.len);
        memcpy(v->run->mmio.data, &value, sizeof(v->run->mmio.data));
    }
    v->io_pending = true;
}

/* True: go on running; else *ret says why not. */
static bool handle_exit(KvmVcpu *v, RunExit *ret)
{
    switch (v->run->exit_reason) {
    case KVM_EXIT_IO:
        handle_pio(v);
        return true;
    case KVM_EXIT_MMIO:
        handle_mmio(v);
        return true;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    case KVM_EXIT_HLT:
        *ret = RUN_HALTED;
        return false;
    case KVM_EXIT_SHUTDOWN:
        *ret = RUN_SHUTDOWN;
        return false;
    case KVM_EXIT_DEBUG:
        *ret = RUN_DEBUG;
        return false;
    case KVM_EXIT_INTERNAL_ERROR:
        *ret = broken(v, "KVM could not emulate an instruction (internal error %u); try -accel dbt", v->run->internal.suberror);
        return false;
    case KVM_EXIT_FAIL_ENTRY:
        *ret = broken(v, "the processor refused to enter the guest (hardware reason %#llx)",
                      (unsigned long long)v->run->fail_entry.hardware_entry_failure_reason);
        return false;
    default:
        *ret = broken(v, "KVM left the guest for a reason that Atoll does not know (%u)", v->run->exit_reason);
        return false;
    }
}

/* ---- running */

static int enter(KvmVcpu *v)
{
    int result = ioctl(v->fd, KVM_RUN, 0) < 0 ? errno : 0;
    v->io_pending = false;
    return result;
}

/* The registers are right only after the access of the last exit has been finished. */
static void finish_io(KvmVcpu *v)
{
    if (!v->io_pending)
        return;
    v->run->immediate_exit = 1;
    enter(v);
}

static void deliver_requests(KvmVcpu *v)
{
    if (vcpu_requests(&v->vcpu) & VREQ_NMI) {
        vcpu_unrequest(&v->vcpu, VREQ_NMI);
        ioctl(v->fd, KVM_NMI);
    }
    vcpu_unrequest(&v->vcpu, VREQ_TLB_FLUSH); /* the kernel's own business */
}

RunExit kvm_run_vcpu(Vcpu *vcpu)
{
    KvmVcpu *v = (KvmVcpu *)vcpu;
    RunExit exit = RUN_KICKED;
    if (kvm_of(vcpu)->map_error)
        return broken(v, "%s", kvm_of(vcpu)->map_error);
    for (;;) {
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
        deliver_requests(v);
        if (vcpu_requests(vcpu) & (VREQ_STOP | VREQ_WORK | VREQ_EXCLUSIVE))
            break;
        int result = enter(v);
        if (result && result != EINTR && result != EAGAIN)
            return broken(v, "KVM_RUN: %s", g_strerror(result));
        if (!result && !handle_exit(v, &exit))
            break;
    }
    finish_io(v);
    return exit;
}

/* ---- single steps */

static bool set_stepping(KvmVcpu *v, bool on, GError **err)
{
    struct kvm_guest_debug debug = { .control = on ? KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP : 0 };
    return ioctl(v->fd, KVM_SET_GUEST_DEBUG, &debug) == 0 || error_set_errno(err, errno, "KVM cannot single-step");
}

static bool step_once(KvmVcpu *v, GError **err)
{
    RunExit exit = RUN_KICKED;
    do {
        v->run->immediate_exit = 0;
        int result = enter(v);
        if (result && result != EINTR)
            return error_set_errno(err, result, "KVM_RUN");
    } while (handle_exit(v, &exit));
    if (exit == RUN_BROKEN)
        return error_set(err, ERR_INTERNAL, "%s", v->vcpu.broken);
    return exit == RUN_DEBUG || error_set(err, ERR_INTERNAL, "the guest %s", exit == RUN_HALTED ? "halted" : "shut down");
}

bool kvm_step(Vcpu *vcpu, GError **err)
{
    KvmVcpu *v = (KvmVcpu *)vcpu;
    if (!set_stepping(v, true, err))
        return false;
    bool ok = step_once(v, err);
    return set_stepping(v, false, ok ? err : NULL) && ok;
}
