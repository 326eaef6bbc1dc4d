#include "addon/decode.h"

#include <cstring>

#include "addon/reader.h"
#include "fwd/publisher.h"

namespace addon {

base::Result<engine::Options> DecodeOptions(const Napi::Value& value) {
  if (!value.IsObject())
    return base::Error{"BAD_OPTION", 0, "open", "open() takes an options object"};
  Reader reader(value.As<Napi::Object>());
  engine::Options options;
  const std::string encapsulation = reader.Text("encapsulation");
  if (encapsulation == "udp") {
    options.format.encapsulation = fwd::Encapsulation::kUdp;
  } else if (encapsulation != "vxlan") {
    reader.Fail("encapsulation", "'vxlan' or 'udp'");
  }
  options.format.vni = reader.Number("vni", 0xffffff);
  options.format.port = static_cast<uint16_t>(reader.Number("port", 0xffff));
  if (options.format.port == 0) reader.Fail("port", "between 1 and 65535");
  options.format.checksum_v4 = reader.Flag("checksumV4");
  options.overlay_device = reader.Text("overlayDevice");
  options.overlay_device_v6 = reader.Text("overlayDeviceV6");
  options.underlay_device = reader.Text("underlayDevice");
  options.overlay_port = reader.Text("overlayPort");
  options.underlay_port = reader.Text("underlayPort");
  options.disable = reader.Texts("disable");
  options.busy_poll_us = reader.Number("busyPollUs", 1'000'000);
  options.workers = reader.Number("workers", fwd::kWorkersMax);
  if (options.workers == 0) reader.Fail("workers", "at least 1");
  options.cpus = reader.Numbers("cpus", engine::kCpuMax);
  if (!reader.failure().empty()) return base::Error{"BAD_OPTION", 0, "open", reader.failure()};
  return options;
}

base::Result<capture::Request> DecodeCapture(const Napi::Value& value) {
  if (!value.IsObject())
    return base::Error{"BAD_OPTION", 0, "captureStart", "captureStart() takes an object"};
  const Napi::Object object = value.As<Napi::Object>();
  Reader reader(object);
  capture::Request request;
  request.points = reader.Number("points", 7);
  request.snap_bytes = reader.Number("snapBytes", 1U << 20);
  std::vector<sock_filter> code;
  const Napi::Value filter = object.Get("filter");
  if (!filter.IsTypedArray() ||
      filter.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array ||
      filter.As<Napi::TypedArray>().ByteLength() % sizeof(sock_filter) != 0) {
    reader.Fail("filter", "a Uint8Array of 8-byte instructions");
  } else {
    const auto bytes = filter.As<Napi::Uint8Array>();
    code.resize(bytes.ByteLength() / sizeof(sock_filter));
    if (!code.empty()) std::memcpy(code.data(), bytes.Data(), bytes.ByteLength());
  }
  if (!reader.failure().empty())
    return base::Error{"BAD_OPTION", 0, "captureStart", reader.failure()};
  auto checked = capture::SocketFilter::Check(code);
  if (!checked.ok()) return checked.error();
  request.filter = std::move(checked).value();
  return request;
}

}  // namespace addon
