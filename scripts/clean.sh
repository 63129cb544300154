#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Removes what was built in this checkout, without needing the kernel it was built against.
set -eu -o pipefail
. "$(dirname "$0")/report.sh"
. "$(dirname "$0")/cache.sh"

cd "$GUPLAB_TOP"
find . -name .git -prune -o -path ./selftests -prune -o -type f \( -name '*.o' -o -name '*.ko' \
	-o -name '*.mod' -o -name '*.mod.c' -o -name '.*.cmd' -o -name '*_generated.rs' \
	-o -name '.*.d' -o -name 'Module.symvers' -o -name 'modules.order' \) -exec rm -f {} +
rm -rf .guplab-kdir rust/doc rust/rustdoc.stamp selftests/target selftests/install "$(cargo_target)"
