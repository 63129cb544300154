#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# apply.sh SOURCE: applies the switches to a copy of a kernel source, 7.2 or 7.3, and makes the list
# of the steps from steps.toml. CONFIG_MM_MUTANTS then turns them on.
#
# A patch that comes in two forms, NAME.7.2.patch and NAME.7.3.patch, is taken in the form for the
# version of the source. Nothing is changed unless all of them apply.
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)

die() {
	printf 'apply.sh: %s\n' "$@" >&2
	exit 1
}

[ $# -eq 1 ] || die "usage: apply.sh SOURCE"
[ -e "$1/mm/gup.c" ] || die "$1 is no kernel source"
cd "$1"
[ ! -e include/linux/mm_mutants.h ] || die "$PWD has the switches already"
version=$(sed -n 's/^VERSION = //p' Makefile).$(sed -n 's/^PATCHLEVEL = //p' Makefile)

# The patches for this version, in order.
patches=()
for patch in "$here"/patches/*.patch; do
	case $patch in
	*.[0-9].[0-9]*.patch) [[ $patch == *".$version.patch" ]] || continue ;;
	esac
	patches+=("$patch")
done
for patch in "$here"/patches/*.[0-9].[0-9]*.patch; do
	[[ " ${patches[*]} " == *" ${patch%.[0-9].[0-9]*.patch}.$version.patch "* ]] ||
		die "there is no $(basename "${patch%.[0-9].[0-9]*.patch}") for Linux $version"
done

# They are tried on a copy of the files that they touch.
files=$(sed -n 's,^--- a/,,p' "${patches[@]}" | sort -u)
trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
for file in $files; do
	[ -e "$file" ] || die "$file, which is to be changed, is not in $PWD"
done
# shellcheck disable=SC2086  # names of kernel sources have no blanks
cp --parents $files "$trial"
for patch in "${patches[@]}"; do
	# "patching file FILE", then "Hunk #N FAILED at LINE."
	if ! report=$(LC_ALL=C patch -p1 -d "$trial" --no-backup-if-mismatch <"$patch" 2>&1); then
		printf '%s\n' "$report" | awk -v patch="$(basename "$patch")" '
			/^(patching|checking) file / { file = $3 }
			/FAILED/ { print "apply.sh: " patch ": " file ": " $0; n++ }
			END { if (!n) print "apply.sh: " patch " does not apply" }' >&2
		printf '%s\n' "apply.sh: nothing was changed" >&2
		exit 1
	fi
done

# One line for each [[step]].
list=$trial/include/linux/mm_mutants_list.h
awk '
	BEGIN { print "/* SPDX-License-Identifier: GPL-2.0 */"; print "/* Made of steps.toml. */" }
	/^\[\[/ { step = $0 == "[[step]]" }
	step && /^name = / { name = $3; gsub(/"/, "", name) }
	step && /^about = / { sub(/^about = /, ""); printf "MM_MUTANT(%s, %s)\n", name, $0 }
' "$here/steps.toml" >"$list"

# A switch that the list lacks, or one of the list that no patch has.
used=$(grep -rhoE 'mm_step\([a-z_0-9]+\)' "$trial" --include='*.[ch]' | sort -u |
	sed -n 's/^mm_step(\(.*\))$/\1/p' | grep -vx name)
listed=$(sed -n 's/^MM_MUTANT(\([a-z_0-9]*\),.*/\1/p' "$list" | sort)
[ "$used" = "$listed" ] ||
	die "steps.toml and the patches disagree about:" \
		"$(comm -3 <(printf '%s\n' "$used") <(printf '%s\n' "$listed"))"

# New files, never written in place: the source may be hard links to another one.
cp -r --remove-destination "$trial"/. .
printf 'apply.sh: %d switches in Linux %s, %s\n' "$(wc -l <<<"$listed")" "$version" "$PWD"
