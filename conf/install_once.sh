#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# install_once.sh FROM TO: run by meson install; what somebody has changed stays.
set -eu
to=${MESON_INSTALL_DESTDIR_PREFIX%"$MESON_INSTALL_PREFIX"}$2
[ -e "$to" ] || install -D -m 644 "$1" "$to"
