#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# uapi-doc.sh KERNEL-SOURCE: prints Documentation/uapi.rst, made from the kernel-doc comments of
# rust/uapi/guplab.h by the kernel's own tool.
set -eu -o pipefail
top=$(dirname "$0")/..

cat <<'RST'
.. SPDX-License-Identifier: GPL-2.0
.. Made by scripts/uapi-doc.sh from rust/uapi/guplab.h: change the header, then "make docs".

=============
The interface
=============

RST
"$1/tools/docs/kernel-doc" -rst -Wall "$top/rust/uapi/guplab.h" | cat -s
