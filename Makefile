# The dev profile serves development, demo, tests and CI; release serves install, dist and bench. Both: see Cargo.toml.
.PHONY: build demo test test-aws crash-sweep fault-sweep hostile soak test-vm bench bench-lifecycle bench-teardown check format fuzz install dist

# Both programs. build-order/Cargo.toml explains the third package.
PROGRAMS = -p build-order -p muck -p muck-worker --lib --bins --examples
PREFIX ?= /usr/local

build:
	sh scripts/prerequisites.sh build
	cargo build $(PROGRAMS)

# The main job on the embedded local cloud, from nothing to nothing.
demo:
	sh scripts/prerequisites.sh demo
	cargo build $(PROGRAMS)
	target/debug/muck demo

# Programs, manual pages and completions below $(DESTDIR)$(PREFIX).
install:
	sh scripts/prerequisites.sh build
	cargo build --release $(PROGRAMS)
	sh scripts/install.sh "$(PREFIX)" "$(DESTDIR)"

# An archive for any Linux and a Debian package, in dist/.
dist:
	sh scripts/prerequisites.sh build
	cargo build --release $(PROGRAMS)
	sh scripts/dist.sh

# All tests, the end-to-end one included.
test:
	sh scripts/prerequisites.sh test
	sh scripts/python-tools.sh
	cargo build $(PROGRAMS)
	cargo test --workspace

# One clip on a real account, with the credentials and the region of the environment. It prints the expected cost and asks
# first; MUCK_TEST_AWS=yes answers.
test-aws:
	sh scripts/prerequisites.sh test
	cargo build $(PROGRAMS)
	cargo test --workspace --test stories -- --ignored --nocapture --exact aws_story::on_a_real_account

# Kills muck at every call of every command; docs/sweeps.md tells what POINT, SEED, DOUBLE and LANES do.
crash-sweep:
	sh scripts/prerequisites.sh test
	cargo build $(PROGRAMS)
	POINT="$(POINT)" SEED="$(SEED)" DOUBLE="$(DOUBLE)" LANES="$(LANES)" \
		cargo test --workspace --test stories -- --ignored crash_sweep::the_whole_crash_sweep

# Lets every call of every command go wrong in every way; docs/sweeps.md tells what POINT, ONLY, SEED and LANES do.
fault-sweep:
	sh scripts/prerequisites.sh test
	cargo build $(PROGRAMS)
	POINT="$(POINT)" ONLY="$(ONLY)" SEED="$(SEED)" LANES="$(LANES)" \
		cargo test --workspace --test stories -- --ignored fault_sweep::the_whole_fault_sweep

# Many jobs and workers, messages that come twice, a worker killed every 2 s; docs/sweeps.md tells what SEED, JOBS and
# WORKERS do.
soak:
	sh scripts/prerequisites.sh test
	cargo build $(PROGRAMS)
	SEED="$(SEED)" JOBS="$(JOBS)" WORKERS="$(WORKERS)" \
		cargo test --workspace --test stories -- --ignored worker_soak::the_whole_soak

# The image under a real systemd and cloud-init, in virtual machines; not in CI. See docs/vm-test.md.
test-vm:
	sh scripts/prerequisites.sh vm
	cargo build $(PROGRAMS)
	cargo test --workspace --test stories -- --ignored --nocapture --test-threads 1 vm::

# Hostile files through the worker, as a process and in the baked image, and each preset in the latter; see docs/jail.md.
hostile:
	sh scripts/prerequisites.sh test
	cargo build $(PROGRAMS)
	cargo test --workspace --test stories -- --include-ignored --nocapture --test-threads 1 hostile:: presets::every

# Every property of what comes from outside (messages, user data, verdicts, presets, names of results) with many cases;
# docs/fuzzing.md tells what CASES and SEED do, and where a case that fails is kept.
fuzz:
	cargo build $(PROGRAMS)
	@seed="$(SEED)"; seed="$${seed:-$$(date +%s)}"; cases="$(CASES)"; cases="$${cases:-20000}"; \
		echo "CASES=$$cases SEED=$$seed"; \
		PROPTEST_CASES="$$cases" PROPTEST_RNG_SEED="$$seed" cargo test --workspace --lib --no-fail-fast -- properties::

# How long up and down take where each call takes 100 ms, beside the longest chain of calls; and the teardown of
# 100,000 objects, with the memory that it needs. Tables are kept in target/sweeps/.
bench-lifecycle:
	sh scripts/prerequisites.sh test
	cargo build $(PROGRAMS)
	cargo test --workspace --test stories -- --ignored lifecycle_bench

bench-teardown:
	sh scripts/prerequisites.sh test
	cargo build $(PROGRAMS)
	OBJECTS="$(OBJECTS)" cargo test --workspace --test stories -- --ignored teardown_bench

# The worker against ffmpeg alone, submit and results against s5cmd and aws, many workers against one, memory, all with the
# release programs; an hour and a half on a machine that does nothing else. Tables are kept in target/sweeps/. CLIPS, FILES, LARGE, JOBS and WAIT make it smaller.
bench:
	sh scripts/prerequisites.sh test
	sh scripts/python-tools.sh bench
	cargo build --release $(PROGRAMS)
	CLIPS="$(CLIPS)" FILES="$(FILES)" LARGE="$(LARGE)" JOBS="$(JOBS)" WAIT="$(WAIT)" \
		cargo test --release --workspace --test stories -- --ignored --test-threads 1 --skip bench::loops::a_waiting_worker bench::

# What every commit must pass: format, lints, and the tests that need no boot.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --workspace --lib --bins

format:
	cargo fmt --all
