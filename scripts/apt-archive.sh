# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Packages from the Debian archive, without touching /etc/apt. Sourced, never run.
#
# apt runs with a configuration, lists and cache of our own. It checks the archive's signature
# and every package's SHA256, as always.

# The suites that are looked at, oldest first.
archive_suites="bookworm trixie trixie-backports forky sid"
archive_keyring=/usr/share/keyrings/debian-archive-keyring.gpg
archive_dir=$GUPLAB_CACHE/apt

# archive_mirror: prints the address of a Debian mirror, taken from the machine's own apt
# configuration (deb822 or one-line form) unless GUPLAB_MIRROR is set.
archive_mirror() {
	local found
	if [ -n "${GUPLAB_MIRROR:-}" ]; then
		printf '%s\n' "$GUPLAB_MIRROR"
		return
	fi
	# shellcheck disable=SC2016  # apt's variables
	found=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' 2>/dev/null |
		awk '$2 == "Debian" && $3 ~ /^[a-z]+$/ && !n++ { print $1 }')
	# Without lists (before the first update) apt knows no origin: read the sources.
	[ -n "$found" ] || found=$(archive_mirror_from_sources)
	[ -n "$found" ] ||
		die "no Debian mirror in this machine's apt configuration" \
			"set GUPLAB_MIRROR to the address of one (the part before /dists)"
	printf '%s\n' "${found%/}"
}

archive_mirror_from_sources() {
	find /etc/apt -maxdepth 2 \( -name '*.sources' -o -name '*.list' \) -exec cat {} + |
		awk '
		function look(uri, suite) {
			if (uri ~ /^mirror\+file:/) {
				sub(/^mirror\+file:/, "", uri)
				if ((getline line < uri) > 0) { split(line, w); uri = w[1] }
			}
			if (uri ~ /\/debian\/?$/ && suite ~ /^[a-z]+$/ && !n++) print uri
		}
		/^#/ { next }
		/^deb / {
			sub(/\[[^]]*\]/, ""); look($2, $3); next
		}
		tolower($1) == "uris:" { uri = $2 }
		tolower($1) == "suites:" { suite = $2 }
		NF == 0 { uri = suite = "" }
		uri != "" && suite != "" { look(uri, suite); uri = suite = "" }
		'
}

# archive_apt COMMAND...: runs an apt command with the private configuration.
archive_apt() {
	local command=$1
	shift
	APT_CONFIG=$archive_dir/apt.conf "$command" "$@"
}

# archive_update: makes the private configuration and reads the archive's lists, at most once
# in six hours; for a foreign ARCH (arch.sh) those of that architecture as well, from then on, without
# a word to dpkg. It takes and keeps the lock of the private apt directory.
archive_update() {
	local mirror suite file archs=()
	[ -z "${archive_updated:-}" ] || return 0
	archive_updated=1
	command -v apt-get >/dev/null ||
		die "this needs apt-get to fetch from the Debian archive, and this machine has none" \
			"build against a kernel of your own instead: make run KDIR=/path/to/its/build"
	[ -e "$archive_keyring" ] ||
		die "$archive_keyring is missing" "install the package debian-archive-keyring"
	lock_cache apt
	mirror=$(archive_mirror)
	mkdir -p "$archive_dir"/{lists,archives,state,empty.d,archs}
	# shellcheck disable=SC2154  # arch.sh sets both
	[ -z "${is_foreign:-}" ] || touch "$archive_dir/archs/$debian_arch"
	archs=("$(dpkg --print-architecture)")
	for file in "$archive_dir"/archs/*; do
		[ ! -e "$file" ] || archs+=("${file##*/}")
	done
	# With another list of architectures, too, there is something to read.
	{ [ ${#archs[@]} -eq 1 ] || echo "# for ${archs[*]}"; } >"$archive_dir/sources.list.new"
	for suite in $archive_suites; do
		printf 'deb [signed-by=%s] %s %s main\n' "$archive_keyring" "$mirror" "$suite" \
			>>"$archive_dir/sources.list.new"
	done
	: >>"$archive_dir/state/status"
	cat >"$archive_dir/apt.conf" <<-CONF
	Dir::Etc::sourcelist "$archive_dir/sources.list";
	Dir::Etc::sourceparts "$archive_dir/empty.d";
	Dir::Etc::preferencesparts "$archive_dir/empty.d";
	Dir::State "$archive_dir/state";
	Dir::State::lists "$archive_dir/lists";
	Dir::State::status "$archive_dir/state/status";
	Dir::Cache "$archive_dir";
	Dir::Cache::archives "$archive_dir/archives";
	APT::Architecture "${archs[0]}";
	APT::Architectures { $(printf '"%s"; ' "${archs[@]}")};
	APT::Sandbox::User "$(id -un)";
	Acquire::Languages "none";
	CONF
	if cmp -s "$archive_dir"/sources.list{.new,} &&
	   [ -n "$(find "$archive_dir/updated" -mmin -360 2>/dev/null)" ]; then
		return
	fi
	mv "$archive_dir"/sources.list{.new,}
	need_space 500 "reading the archive's package lists"
	# A mirror may lack a suite, or have let one expire: what the others have is enough.
	if ! archive_apt apt-get -q -o APT::Update::Error-Mode=any update \
		>"$archive_dir/update.log" 2>&1; then
		compgen -G "$archive_dir/lists/*_Packages*" >/dev/null || {
			tail -n 10 "$archive_dir/update.log" >&2
			die "the package lists of $mirror can't be read"
		}
		say "some package lists of $mirror can't be read:"
		sed -n 's/^[EW]: /        /p' "$archive_dir/update.log" >&2
	fi
	touch "$archive_dir/updated"
}

# archive_versions PACKAGE[:ARCH]: prints "version sha256" of every version to be had, newest first.
archive_versions() {
	archive_apt apt-cache show "$1" 2>/dev/null |
		awk '/^Version:/ { v = $2 } /^SHA256:/ { s = $2 } /^$/ { print v, s } END { print v, s }' |
		grep . | sort -u |
		while read -r version sum; do
			printf '%s %s\n' "$version" "$sum"
		done | archive_sort_versions
}

# Newest first, by Debian's own rules of comparison.
archive_sort_versions() {
	local -a rows=() sorted=()
	local row i
	mapfile -t rows
	for row in "${rows[@]}"; do
		for ((i = 0; i < ${#sorted[@]}; i++)); do
			dpkg --compare-versions "${row%% *}" gt "${sorted[i]%% *}" && break
		done
		sorted=("${sorted[@]:0:i}" "$row" "${sorted[@]:i}")
	done
	[ ${#sorted[@]} -eq 0 ] || printf '%s\n' "${sorted[@]}"
}

# archive_unpack PACKAGE[:ARCH] VERSION DIR: fetches a package, which apt checks, and unpacks it in
# DIR.
archive_unpack() {
	local package=$1 version=$2 dir=$3 debs
	debs=$(mktemp -d "$archive_dir/archives/$package.XXXXXX")
	(
		cd "$debs"
		quietly "$archive_dir/download.log" "fetching $package $version" \
			archive_apt apt-get -q download "$package=$version"
	) || exit 1
	dpkg-deb -x "$debs"/*.deb "$dir" || die "unpacking $package $version failed"
	rm -rf "$debs"
}
