// What the data-plane process asks about itself and its clients: confinement, peer credentials.
#pragma once

#include <napi.h>

namespace addon {

void RegisterProcess(Napi::Env env, Napi::Object exports);

}  // namespace addon
