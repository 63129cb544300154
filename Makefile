# SPDX-License-Identifier: GPL-2.0
#
# The entry points. "make help" prints the texts after ## here, so this file is its own manual.
# kbuild doesn't read this file: it has Kbuild.

# make hands on to the scripts by itself what is set on its command line or in the environment.
export GUPLAB_VM := $(or $(VM),$(GUPLAB_VM))
scripts := $(CURDIR)/scripts

#: ARCH             x86, arm64 or arm; a kernel of another architecture than this machine's is emulated
#: KDIR             the build directory of your own kernel; otherwise one is built into the cache
#: VM               vng (the guest sees this machine's files, the default) or initramfs (fast; the
#:                  only one for another ARCH than this machine's)
#: RUN_ARGS         arguments for "guplab run", "matrix" or "bench", as in RUN_ARGS='fork --seconds 20';
#:                  for "make peers" RUN_ARGS='--format ktap'
#: GUPLAB_JOURNAL   where "make mutants" writes down what it does, and goes on (mutants.jsonl)
#: KCONFIG_EXTRA    further fragments of scripts/kconfig/ for the kernel in the cache
#: LLVM CC          the compiler of C, as kbuild takes them; otherwise the kernel's own is found
#: RUSTC            rustc for kernel and module; with RUST_LIB_SRC, the source of its library
#: BINDGEN          bindgen for kernel and module
#: GUPLAB_CACHE     where kernels and compilers are kept (default ~/.cache/guplab)
#: GUPLAB_MACHINE   with ARCH=arm the machine that QEMU emulates: virt (the default) or vexpress-a15
#: GUPLAB_CPUS      CPUs of the VM (default 4; 2 on vexpress-a15, which has no more)
#: GUPLAB_MEMORY    memory of the VM in MB (default 3072, 2048 on vexpress-a15; 8192 for "make bench", where there is so
#:                  much to spare), on two NUMA nodes
#: GUPLAB_TIMEOUT   seconds a VM may run (default 1200)
#: GUPLAB_ACCEL     tcg or kvm; otherwise what is found to work
#: GUPLAB_RESULTS   a directory in which to keep all a run leaves; otherwise kept if it fails
#: GUPLAB_SEED      other requests of guplab:fuzz and gup_test, other memory of guplab:differential
#:                  (default 1)
#: GUPLAB_COMPARISONS  of guplab:differential (default 100000); only GUPLAB_TIMEOUT bounds it then
#: GUPLAB_MIRROR    a Debian mirror; otherwise that of this machine's apt
#: GUPLAB_INSTALL   "no" never installs packages, and says which are missing

.PHONY: module
module: ## builds rust/guplab.ko; the default
	@$(scripts)/lab.sh $@

.PHONY: run
run: ## builds all, boots the VM and runs the experiments: start here
	@$(scripts)/lab.sh $@

.PHONY: test
test: ## runs all tests, on this machine and in the VM; KTAP
	@$(scripts)/lab.sh $@

.PHONY: litmus
litmus: ## runs the litmus tests of the barriers with herd7 and the kernel's memory model; KTAP
	@$(scripts)/litmus.sh

.PHONY: mutants
mutants: ## leaves out protective steps of a patched kernel's mm, and prints who notices
	@$(scripts)/lab.sh $@

.PHONY: peers
peers: ## runs the in-tree tests that use gup_test with guplab in its place, and compares
	@$(scripts)/lab.sh $@

.PHONY: matrix
matrix: ## tries out what protects a lockless walk against each writer of page tables
	@$(scripts)/lab.sh $@

.PHONY: bench
bench: ## measures pinning in the VM: tables, and bench.json, bench.svg, bench.png
	@$(scripts)/lab.sh $@

.PHONY: shell
shell: ## boots the VM and gives a shell in it
	@$(scripts)/lab.sh $@

.PHONY: setup
setup: ## installs or names missing packages, fetches compilers and sources
	@$(scripts)/lab.sh $@

.PHONY: kernel
kernel: ## builds the kernel into the cache and prints where it is
	@$(scripts)/lab.sh $@

.PHONY: modules_install
modules_install: ## installs guplab.ko below /lib/modules (INSTALL_MOD_PATH as in kbuild)
	@$(scripts)/lab.sh $@

.PHONY: selftests
selftests: ## builds the userspace programs
	@$(scripts)/lab.sh $@

.PHONY: docs
docs: ## makes Documentation/uapi.rst and the API documentation of module and library
	@$(scripts)/check.sh docs

.PHONY: check
check: ## format and lint of everything: rustfmt, clippy, checkpatch, kernel-doc, shellcheck ...
	@$(scripts)/check.sh

.PHONY: test-harness
test-harness: ## proves that "make test" fails when the guest panics, hangs, warns or violates
	@$(scripts)/test-harness.sh

.PHONY: update-kernel
update-kernel: ## takes the newest kernel source to be had, for the next build
	@$(scripts)/kernel-source.sh --update >/dev/null

.PHONY: cache-prune
cache-prune: ## removes old and broken entries from the cache
	@$(scripts)/cache-prune.sh

.PHONY: clean
clean: ## removes what was built in this checkout; the cache stays
	@$(scripts)/clean.sh

.PHONY: help
help: ## this text
	@echo 'make TARGET [VARIABLE=VALUE ...]'
	@echo
	@echo 'Targets:'
	@sed -n 's/^\([a-z_-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F'|' '{ printf "  %-16s %s\n", $$1, $$2 }'
	@echo
	@echo 'Variables:'
	@sed -n 's/^#: /  /p' $(firstword $(MAKEFILE_LIST))
