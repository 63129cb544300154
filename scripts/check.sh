#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Format and lint of everything in the checkout. "check.sh docs" only makes the documentation.
# Every check runs, whatever the others found; the exit code is 0 if none found anything.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"

scripts=$GUPLAB_TOP/scripts
cd "$GUPLAB_TOP"

"$scripts/host-packages.sh"
tools=$("$scripts/toolchain.sh")
eval "$tools"
target=$(claim_target)

# The userspace compiler is not to reach the build of the module.
run_cargo() {
	RUSTC=$(command -v "$URUSTC") CARGO_TARGET_DIR=$target "$UCARGO" "$@"
}

scratch=$(mktemp -d)
log=$scratch/log
trap 'rm -rf "$scratch"' EXIT
failed=()
skipped=()

# check NAME FUNCTION: shows the output of FUNCTION only if it fails.
check() {
	local code
	# Not "|| code=$?": that would switch off set -e inside.
	set +e
	(
		set -e
		"$2"
	) >"$log" 2>&1
	code=$?
	set -e
	case $code in
	0) say "ok       $1" ;;
	77) skipped+=("$1")
	   say "skipped  $1: $(tail -n 1 "$log")" ;;
	*) failed+=("$1")
	   say "FAILED   $1"
	   sed 's/^/        | /' "$log" >&2 ;;
	esac
}

# files PATTERN...: what is in the repository, or will be.
files() {
	git ls-files -co --exclude-standard -- "$@" | while IFS= read -r file; do
		[ ! -f "$file" ] || printf '%s\n' "$file"
	done
}

format() {
	command -v rustfmt >/dev/null || { echo "there is no rustfmt"; exit 77; }
	local edition
	files 'rust/*.rs' | xargs rustfmt --check --edition 2021
	edition=$(sed -n 's/^edition *= *"\(.*\)"/\1/p' selftests/Cargo.toml)
	files 'selftests/*.rs' | xargs rustfmt --check --edition "$edition"
}

clippy_userspace() {
	run_cargo clippy --version >/dev/null 2>&1 || { echo "there is no cargo clippy"; exit 77; }
	run_cargo clippy -q --locked --manifest-path selftests/Cargo.toml --workspace --all-targets \
		-- -D warnings
}

# module TARGET...: a build from nothing, so that every warning is seen. Any is a failure.
module() {
	rm -f .guplab-kdir
	"$scripts/module-build.sh" "$kdir" "$@" >"$log.module" 2>&1 || {
		cat "$log.module"
		exit 1
	}
	if grep -iE -A 12 '^(warning|error)|: warning:' "$log.module"; then
		exit 1
	fi
}

clippy_module() {
	[ -n "$KCLIPPY" ] || { echo "there is no clippy-driver of the kernel's Rust"; exit 77; }
	module CLIPPY=1 modules
}

plain_module() {
	module modules
}

rustdoc_module() {
	module GUPLAB_DOC=1 modules
}

rustdoc_userspace() {
	RUSTDOCFLAGS=-Dwarnings run_cargo doc -q --locked --manifest-path selftests/Cargo.toml \
		--workspace --no-deps --document-private-items
}

# What checkpatch is wrong about, each with the reason.
not_for_trace_headers='
OPEN_ENDED_LINE           TP_STRUCT__entry( ends its line in every trace header of the kernel
PARENTHESIS_ALIGNMENT     TP_printk() is indented like a block there
'
not_for_userspace='
CAMELCASE                 _Static_assert is the name C gives it
'
not_for_uapi_headers='
BIT_MACRO                 userspace has no BIT()
'

reasons() {
	awk 'NF { printf "%s%s", n++ ? "," : "", $1 }' <<<"$1"
}

c_style() {
	local file ignore list bad=0
	list=$(files '*.c' '*.h')
	# checkpatch leaves a file where it runs, and asks git about that place.
	cd "$scratch"
	while IFS= read -r file; do
		case $file in
		*_events.h) ignore=$(reasons "$not_for_trace_headers") ;;
		*/uapi/*) ignore=$(reasons "$not_for_uapi_headers") ;;
		*/tests/*.c) ignore=$(reasons "$not_for_userspace") ;;
		*) ignore= ;;
		esac
		"$source/scripts/checkpatch.pl" --no-tree --strict --no-summary --terse \
			--show-types ${ignore:+--ignore "$ignore"} -f "$GUPLAB_TOP/$file" || bad=1
	done <<<"$list"
	return "$bad"
}

# The ABI has the same layout for 32-bit callers.
abi_layout() {
	local bits
	for bits in 64 32; do
		"$TCC" "-m$bits" -fsyntax-only -ffreestanding -Wall -Werror -Irust/uapi \
			-isystem "/usr/include/$(uname -m)-linux-gnu" scripts/tests/abi_layout.c
	done
}

# The example of the README, and what shows a bug without guplab; cargo builds those in Rust.
c_example() {
	cc -fsyntax-only -Wall -Wextra -Werror -Irust/uapi selftests/examples/*.c
}

kernel_doc() {
	local said
	said=$("$source/scripts/kernel-doc" -none -Wall rust/uapi/guplab.h 2>&1) || {
		echo "$said"
		exit 1
	}
	[ -z "$said" ] || { echo "$said"; exit 1; }
}

uapi_document() {
	"$scripts/uapi-doc.sh" "$source" | diff -u Documentation/uapi.rst - || {
		echo "Documentation/uapi.rst is not what the header says; 'make docs' makes it anew"
		exit 1
	}
}

# What checkpatch is wrong about in scripts/mutants/patches/.
not_for_patches='
FILE_PATH_CHANGES         there is no MAINTAINERS entry for a patch that stays outside
EMBEDDED_FUNCTION_NAME    texts name the functions that they are about
MACRO_ARG_UNUSED          each expansion of a list of steps uses some of its columns
TRAILING_SEMICOLON        a list of steps expands to declarations
MULTISTATEMENT_MACRO_USE_DO_WHILE  the same
AVOID_BUG                 a VM_BUG_ON() that is there gets a condition
'

patches() {
	cd "$scratch"
	"$source/scripts/checkpatch.pl" --root="$source" --strict --no-summary --terse --show-types \
		--ignore "$(reasons "$not_for_patches")" "$scripts"/mutants/patches/*.patch
}

steps_document() {
	run_cargo run -q --locked --manifest-path selftests/Cargo.toml -p guplab-cli -- \
		mutants list --rst | diff -u Documentation/mutants/steps.rst - || {
		echo "Documentation/mutants/steps.rst is not what scripts/mutants/steps.toml says; 'make docs'" \
			"makes it anew"
		exit 1
	}
}

shell() {
	command -v shellcheck >/dev/null || { echo "there is no shellcheck"; exit 77; }
	files '*.sh' .ci/run | xargs shellcheck -x -P SCRIPTDIR
}

# Files that can't hold a comment, or are the licence.
no_spdx='^(.*/)?(Cargo\.lock|COPYING|LICENSES/.*|selftests/settings|.*\.(png|svg|json|patch))$'

spdx() {
	local file bad=0
	while IFS= read -r file; do
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: ' || {
			echo "$file: no SPDX-License-Identifier in its first three lines"
			bad=1
		}
	done < <(files | grep -vE "$no_spdx")
	return "$bad"
}

# "make help" prints what the Makefile says of its targets and variables; this is that it says it.
help_is_whole() {
	local name bad=0 helped
	helped=$(make -s help)
	while read -r name; do
		grep -qE "^  $name +[a-z]" <<<"$helped" || { echo "make help: no target $name"; bad=1; }
	done < <(sed -n 's/^\.PHONY: *//p' Makefile)
	# GUPLAB_START and GUPLAB_TOP are between the scripts, GUPLAB_SABOTAGE and GUPLAB_VM are set
	# by test-harness and VM, GUPLAB_DOC by this script.
	while read -r name; do
		case $name in
		GUPLAB_START | GUPLAB_TOP | GUPLAB_SABOTAGE | GUPLAB_VM | GUPLAB_DOC) continue ;;
		esac
		grep -qE "^  $name( |$)" <<<"$helped" || { echo "make help: no variable $name"; bad=1; }
	done < <(files scripts Makefile | xargs grep -ohE '\bGUPLAB_[A-Z]+\b' | sort -u)
	return "$bad"
}

kdir=${KDIR:-}
[ -n "$kdir" ] || kdir=$("$scripts/kernel-build.sh")
source=$("$scripts/kernel-source.sh")

if [ "${1:-}" = docs ]; then
	"$scripts/uapi-doc.sh" "$source" >"$scratch/uapi.rst"
	cp "$scratch/uapi.rst" Documentation/uapi.rst
	run_cargo run -q --locked --manifest-path selftests/Cargo.toml -p guplab-cli -- \
		mutants list --rst >"$scratch/steps.rst"
	cp "$scratch/steps.rst" Documentation/mutants/steps.rst
	check "rustdoc of the module" rustdoc_module
	check "rustdoc of userspace" rustdoc_userspace
	[ ${#failed[@]} -eq 0 ] || exit 1
	echo "$GUPLAB_TOP/Documentation/uapi.rst"
	echo "$GUPLAB_TOP/Documentation/mutants/steps.rst"
	echo "$GUPLAB_TOP/rust/doc"
	echo "$target/doc"
	exit
fi

check "rustfmt" format
check "clippy of userspace" clippy_userspace
check "clippy of the module" clippy_module
check "rustdoc of the module" rustdoc_module
check "rustdoc of userspace" rustdoc_userspace
# Last of the builds, so that what remains is the module as users build it.
check "a build of the module without warnings" plain_module
check "checkpatch --strict" c_style
check "layout of the ABI, 64 and 32 bits" abi_layout
check "the examples in C" c_example
check "kernel-doc of the ABI header" kernel_doc
check "Documentation/uapi.rst" uapi_document
check "checkpatch of the mutants" patches
check "Documentation/mutants/steps.rst" steps_document
check "shellcheck" shell
check "SPDX lines" spdx
check "make help" help_is_whole
[ ${#skipped[@]} -eq 0 ] || say "skipped: ${skipped[*]}"
[ ${#failed[@]} -eq 0 ] || die "checks failed:" "${failed[@]}"
say "all checks are clean"
