#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# in-tree-tests.sh KDIR DIR PROGRAM...: builds into DIR programs of tools/testing/selftests/mm, from
# the source of KDIR and unmodified. They are static: a VM may have no libraries.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"
. "$(dirname "$0")/arch.sh"
. "$(dirname "$0")/apt-archive.sh"

kdir=$1 dir=$2
shift 2
source=$(sed -n 's/^include \(.*\)\/Makefile$/\1/p' "$kdir/Makefile" | head -n 1)
[ -d "$source" ] || source=$(realpath "$kdir/source" 2>/dev/null || true)
tests=$source/tools/testing/selftests
[ -r "$tests/mm/cow.c" ] || die "the source of $kdir has no tools/testing/selftests/mm"

tools=$("$GUPLAB_TOP/scripts/toolchain.sh")
eval "$tools"
read -ra cc <<<"$TCC $TCFLAGS"
[ -z "$is_foreign" ] || cc+=(-fuse-ld=lld)

# The tests of cow that pin for writing do so by io_uring. Prints where liburing is unpacked.
liburing() {
	local version sum entry unpacked package=liburing-dev${is_foreign:+:$debian_arch}
	archive_update
	# The oldest one links with every C library.
	read -r version sum <<<"$(archive_versions "$package" | tail -n 1)"
	[ -n "$version" ] || die "there is no liburing-dev in the Debian archive"
	entry=toolchain/liburing-$version-$(echo "$sum" | key)
	is_cached "$entry" || lock_cache "$entry"
	if ! is_cached "$entry"; then
		unpacked=$(new_entry "$entry")
		archive_unpack "$package" "$version" "$unpacked"
		echo "$package $version $sum" | keep_entry "$entry"
	fi
	printf '%s\n' "$GUPLAB_CACHE/$entry/usr"
}

mkdir -p "$dir"
dir=$(realpath "$dir")
log=$dir/build.log
with_uring=()
if command -v apt-get >/dev/null; then
	uring=$(liburing)
	with_uring=(-isystem "$uring/include" "$(find "$uring/lib" -name liburing.a)")
else
	say "no apt-get to fetch liburing with: cow and gup_longterm without the tests that need it"
fi
headers() {
	make -s -C "$source" "O=$dir/headers.build" "ARCH=$arch" "LLVM=$LLVM" "INSTALL_HDR_PATH=$dir/headers" \
		headers_install
}
quietly "$log" "installing the kernel's headers" headers
# What the Makefile there would find out.
echo "${with_uring:+#define LOCAL_CONFIG_HAVE_LIBURING 1}" >"$dir/headers/include/local_config.h"
# What the Makefile there does, which writes to the source tree. The file's name is relative as it is
# there: gup_longterm makes the name of a file in its working directory from it.
compile() (
	program=$1 more=()
	case $program in
	uffd-*) more=(uffd-common.c) ;;
	esac
	cd "$tests/mm"
	"${cc[@]}" -static -O2 -w -D_GNU_SOURCE= \
		-isystem "$dir/headers/include" -I "$source/tools/include/uapi" \
		-I "$source" -I "$tests" -I "$tests/mm" "$program.c" "${more[@]}" \
		vm_util.c hugepage_settings.c -o "$dir/$program" \
		"${with_uring[@]}" -lrt -lpthread -lm
)

for program; do
	quietly "$log" "building $program" compile "$program"
done
rm -rf "$dir/headers" "$dir/headers.build" "$log"
