# The short way to what Meson and scripts/ do.  Programs stand in build/bin/.
BUILD = build
ASAN = build-asan
TSAN = build-tsan
TSAN_TESTS = accel/dbt_smp_test accel/dbt_smc_test accel/dbt_event_test accel/dbt_fpe_test accel/dbt_mode_test accel/event_test \
	accel/event_test-dbt block/block_test block/io_test block/io_thread_test block/job_test devices/virtio_blk_test machine/clock_test console/chardev_test \
	hostnet/user_test
WERROR = $(if $(CI),true,false)
JOBS = $(shell nproc)

.PHONY: all build run test test-long bench bench-img bench-disk bench-net bench-manage bench-start fuzz tsan format install deps clean
all: build

deps:
	@scripts/install-deps

$(BUILD)/build.ninja: | deps
	meson setup -Dwerror=$(WERROR) $(BUILD)

build: deps $(BUILD)/build.ninja
	ninja -j$(JOBS) -C $(BUILD)

run: build
	@scripts/run-guest

$(ASAN)/build.ninja: | deps
	meson setup -Dwerror=$(WERROR) -Db_sanitize=address,undefined $(ASAN)

# Unit tests in both builds, then the programs; ends with "N passed, N failed, N skipped".
test: build $(ASAN)/build.ninja
	ninja -j$(JOBS) -C $(ASAN)
	tests/run_tests.py --unit $(BUILD) --unit $(ASAN) --programs $(BUILD)

# The same with the guests that take minutes.
test-long: build $(ASAN)/build.ninja
	ninja -j$(JOBS) -C $(ASAN)
	tests/run_tests.py --long --unit $(BUILD) --unit $(ASAN) --programs $(BUILD)

$(TSAN)/build.ninja: | deps
	meson setup -Dwerror=$(WERROR) -Db_sanitize=thread $(TSAN)

# The thread sanitizer over the units where threads meet.
tsan: $(TSAN)/build.ninja
	ninja -j$(JOBS) -C $(TSAN)
	TSAN_OPTIONS="suppressions=$(CURDIR)/tests/tsan.supp" meson test -C $(TSAN) --no-rebuild --print-errorlogs -t 5 $(TSAN_TESTS)

# The interpreter alone, then whole guests against QEMU and this host; BENCH="--rounds 5 --emulators dbt,interp,tcg,native".
bench: build
	@scripts/install-deps qemu-system-x86
	meson test -C $(BUILD) --benchmark --verbose
	tests/bench/run.py $(BENCH)

# atoll-img against qemu-img and qemu-io; BENCH="--rounds 9 --only convert".
bench-img: build
	@scripts/install-deps qemu-utils time
	tests/bench/img.py $(BENCH)

# Disks of a machine, against QEMU's.
bench-disk: build
	tests/bench/disk.py $(BENCH)

# A machine's network to this host by user networking, against QEMU's.
bench-net: build
	@scripts/install-deps qemu-system-x86
	tests/bench/net.py $(BENCH)

# The manager against libvirtd.
bench-manage: build
	@scripts/install-deps libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu python3-libvirt qemu-system-x86
	tests/bench/manage.py $(BENCH)

# From exec to a guest's first byte, and what an idle machine costs, against QEMU.
bench-start: build
	@scripts/install-deps qemu-system-x86
	tests/bench/start.py $(BENCH)

# Device fuzzers under libFuzzer (clang), FUZZ_SECONDS each.
fuzz: deps
	tests/fuzz/run

format:
	scripts/install-deps clang-format
	git ls-files '*.c' '*.h' | xargs clang-format -i

install: build
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) $(ASAN) $(TSAN)
