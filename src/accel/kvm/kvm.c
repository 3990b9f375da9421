/* kvm.c - the accelerator over /dev/kvm: opening, the virtual machine and its in-kernel interrupt controllers. */
#include "accel/kvm/kvm.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "accel/accel.h"

static const char DEVICE[] = "/dev/kvm";

/* Intel's virtualization needs four pages of guest-physical space that nobody else uses: just below the firmware. */
static const uint64_t IDENTITY_MAP = 0xfffbc000, TSS_PAGES = 0xfffbd000;

/* ---- probing: messages that say what to do */

static bool no_permission(GError **err)
{
    struct stat st;
    const struct group *g = stat(DEVICE, &st) == 0 ? getgrgid(st.st_gid) : NULL;
    return error_set(err, ERR_DENIED,
                     "cannot use KVM: no permission for %s (group '%s', mode %04o); add your user to that group "
                     "(usermod -aG %s USER, then log in again), or use -accel dbt (kvm:dbt takes it only where KVM cannot)",
                     DEVICE, g ? g->gr_name : "?", st.st_mode & 07777, g ? g->gr_name : "kvm");
}

static int open_kvm(GError **err)
{
    int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    if (errno == EACCES || errno == EPERM)
        no_permission(err);
    else if (errno == ENOENT || errno == ENXIO || errno == ENODEV)
        error_set(err, ERR_UNSUPPORTED,
                  "cannot use KVM: %s is missing; load kvm_intel or kvm_amd, switch virtualization on in the firmware, or use "
                  "-accel dbt (kvm:dbt takes it only where KVM cannot)", DEVICE);
    else
        error_set_errno(err, errno, "cannot use KVM: %s", DEVICE);
    return -1;
}

static const struct { int cap; const char *name; } needed[] = {
    { KVM_CAP_USER_MEMORY, "user memory" }, { KVM_CAP_IRQCHIP, "irqchip" }, { KVM_CAP_PIT2, "PIT" },
    { KVM_CAP_XSAVE, "XSAVE" }, { KVM_CAP_XCRS, "XCRs" }, { KVM_CAP_IMMEDIATE_EXIT, "immediate exit" },
    { KVM_CAP_READONLY_MEM, "read-only memory" }, { KVM_CAP_EXT_CPUID, "CPUID" }, { KVM_CAP_DEBUGREGS, "debug registers" },
};

static bool check_capabilities(int fd, GError **err)
{
    int version = ioctl(fd, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return error_set(err, ERR_UNSUPPORTED, "cannot use KVM: its interface has version %d, Atoll speaks %d", version, KVM_API_VERSION);
    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++)
        if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
            return error_set(err, ERR_UNSUPPORTED, "cannot use KVM: this kernel lacks %s; use a newer one, or -accel dbt", needed[i].name);
    return true;
}

static bool kvm_probe(GError **err)
{
    int fd = open_kvm(err);
    bool ok = fd >= 0 && check_capabilities(fd, err);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* On a host without VT-x or SVM, KVM is an emulator of Linux's that knows only a part of the instructions: it is there for who asks. */
static bool kvm_unasked(void)
{
    enum { VMX = 1 << 5, SVM = 1 << 2 };
    unsigned a, b, c = 0, d;
    bool vmx = __get_cpuid(1, &a, &b, &c, &d) && c & VMX;
    return vmx || (__get_cpuid(0x80000001, &a, &b, &c, &d) && c & SVM);
}

/* ---- the virtual machine */

static bool create_vm(KvmAccel *k, GError **err)
{
    do
        k->vm_fd = ioctl(k->kvm_fd, KVM_CREATE_VM, 0);
    while (k->vm_fd < 0 && errno == EINTR);
    if (k->vm_fd < 0)
        return error_set_errno(err, errno, "KVM refuses a new machine");
    uint64_t identity = IDENTITY_MAP;
    if (ioctl(k->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0 || ioctl(k->vm_fd, KVM_SET_TSS_ADDR, TSS_PAGES) < 0)
        return error_set_errno(err, errno, "KVM refuses its own pages at %#" G_GINT64_MODIFIER "x", identity);
    return true;
}

static bool create_irqchip(KvmAccel *k, GError **err)
{
    struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    if (ioctl(k->vm_fd, KVM_CREATE_IRQCHIP) < 0)
        return error_set_errno(err, errno, "KVM refuses its interrupt controllers");
    if (ioctl(k->vm_fd, KVM_CREATE_PIT2, &pit) < 0)
        return error_set_errno(err, errno, "KVM refuses its timer");
    return true;
}

static void kvm_destroy(Accel *a)
{
    KvmAccel *k = (KvmAccel *)a;
    if (!k)
        return;
    if (k->vm_fd >= 0)
        close(k->vm_fd);
    if (k->kvm_fd >= 0)
        close(k->kvm_fd);
    if (k->msrs)
        g_array_unref(k->msrs);
    g_free(k->supported);
    g_free(k->map_error);
    g_mutex_clear(&k->lock);
    g_free(k);
}

static bool set_up(KvmAccel *k, GError **err)
{
    k->kvm_fd = open_kvm(err);
    if (k->kvm_fd < 0 || !check_capabilities(k->kvm_fd, err))
        return false;
    int run_size = ioctl(k->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_size < (int)sizeof(struct kvm_run))
        return error_set(err, ERR_UNSUPPORTED, "KVM's run area has %d bytes, at least %zu are needed", run_size, sizeof(struct kvm_run));
    k->run_size = run_size;
    return create_vm(k, err) && create_irqchip(k, err) && kvm_load_supported_cpuid(k, err) && kvm_load_msr_list(k, err) &&
           kvm_install_kick_signal(err);
}

static Accel *kvm_create(Machine *m, const CpuModel *model, GError **err)
{
    KvmAccel *k = g_new0(KvmAccel, 1);
    k->accel = (Accel){ .ops = &accel_kvm, .machine = m, .model = *model };
    k->kvm_fd = k->vm_fd = -1;
    g_mutex_init(&k->lock);
    if (set_up(k, err))
        return &k->accel;
    kvm_destroy(&k->accel);
    return NULL;
}

/* ---- vCPUs */

static void kvm_vcpu_finish(Vcpu *vcpu)
{
    KvmVcpu *v = (KvmVcpu *)vcpu;
    if (v->run)
        munmap(v->run, kvm_of(vcpu)->run_size);
    if (v->fd >= 0)
        close(v->fd);
    v->run = NULL;
    v->fd = -1;
}

static bool kvm_vcpu_init(Accel *a, Vcpu *vcpu, GError **err)
{
    KvmAccel *k = (KvmAccel *)a;
    KvmVcpu *v = (KvmVcpu *)vcpu;
    v->fd = ioctl(k->vm_fd, KVM_CREATE_VCPU, vcpu->apic_id);
    if (v->fd < 0)
        return error_set_errno(err, errno, "KVM refuses CPU %u", vcpu->id);
    void *run = mmap(NULL, k->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (run != MAP_FAILED) {
        v->run = run;
        if (kvm_set_cpuid(v, err))
            return true;
    } else {
        error_set_errno(err, errno, "cannot map the run area of CPU %u", vcpu->id);
    }
    kvm_vcpu_finish(vcpu);
    return false;
}

/* ---- interrupts */

static void kvm_irq_line(Accel *a, unsigned gsi, bool level)
{
    struct kvm_irq_level line = { .irq = gsi, .level = level };
    ioctl(((KvmAccel *)a)->vm_fd, KVM_IRQ_LINE, &line);
}

static void kvm_msi(Accel *a, uint64_t address, uint32_t data)
{
    struct kvm_msi msi = { .address_lo = address, .address_hi = address >> 32, .data = data };
    ioctl(((KvmAccel *)a)->vm_fd, KVM_SIGNAL_MSI, &msi);
}

static bool kvm_irqfd(Accel *a, int fd, unsigned gsi, bool assign, GError **err)
{
    struct kvm_irqfd request = { .fd = fd, .gsi = gsi, .flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN };
    return ioctl(((KvmAccel *)a)->vm_fd, KVM_IRQFD, &request) == 0 ||
           error_set_errno(err, errno, "KVM refuses an irqfd for interrupt line %u", gsi);
}

static bool kvm_ioeventfd(Accel *a, int fd, const IoEvent *e, bool assign, GError **err)
{
    struct kvm_ioeventfd request = { .fd = fd, .addr = e->addr, .len = e->size, .datamatch = e->match };
    request.flags = (e->pio ? KVM_IOEVENTFD_FLAG_PIO : 0) | (e->any_value ? 0 : KVM_IOEVENTFD_FLAG_DATAMATCH) |
                    (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN);
    return ioctl(((KvmAccel *)a)->vm_fd, KVM_IOEVENTFD, &request) == 0 ||
           error_set_errno(err, errno, "KVM refuses an ioeventfd at %#" G_GINT64_MODIFIER "x", e->addr);
}

const AccelOps accel_kvm = {
    .name = "kvm",
    .summary = "hardware virtualization by Linux's KVM",
    .vcpu_size = sizeof(KvmVcpu),
    .in_kernel_irqchip = true,
    .probe = kvm_probe,
    .unasked = kvm_unasked,
    .create = kvm_create,
    .cpu_limit = kvm_cpu_limit,
    .destroy = kvm_destroy,
    .vcpu_init = kvm_vcpu_init,
    .vcpu_finish = kvm_vcpu_finish,
    .thread_start = kvm_thread_start,
    .run = kvm_run_vcpu,
    .kick = kvm_kick,
    .get = kvm_get_state,
    .set = kvm_set_state,
    .save = kvm_save,
    .load = kvm_load,
    .stand = kvm_stand,
    .step = kvm_step,
    .map_changed = kvm_map_changed,
    .dirty_log = kvm_dirty_log,
    .dirty_fetch = kvm_dirty_fetch,
    .irq_line = kvm_irq_line,
    .msi = kvm_msi,
    .irqfd = kvm_irqfd,
    .ioeventfd = kvm_ioeventfd,
};
