/* SPDX-License-Identifier: Apache-2.0 */
/* What `jwtgate status` shows: GET /api/status of the admin listener. */
#pragma once

struct config_view;
struct gateway;
struct json_writer;

/* Control thread; the writer tells whether all fitted. */
void status_write(const struct gateway *gateway, const struct config_view *view,
                  struct json_writer *w);
