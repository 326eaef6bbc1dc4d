// Netlink objects across Node-API: plain JavaScript objects with the field names of
// src/host/netlink-objects.ts. Main thread only. TypeScript has checked the fields; what is still
// wrong here is reported by name and never guessed.
#pragma once

#include <napi.h>

#include <string>

#include "base/result.h"
#include "netlink/objects.h"

namespace addon {

// Appends one request ({ verb, object, ... }) to the batch. On a bad field returns false and says
// which in `problem`.
bool AppendRequest(const Napi::Object& request, netlink::MessageBatch& batch, std::string* problem);
// Appends a dump or look-up ({ get | dump, ... }).
bool AppendQuery(const Napi::Object& query, netlink::MessageBatch& batch, std::string* problem);

Napi::Object ToJs(Napi::Env env, const netlink::Object& object);
Napi::Object ToJs(Napi::Env env, const base::Error& error);

}  // namespace addon
