{
  "targets": [
    {
      "target_name": "ripstop",
      "sources": ["<!@(node -p \"const s=require('./native/sources.json'); [...s.core, ...s.addon].join(' ')\")"],
      "defines": ["<!@(node -p \"require('./native/sources.json').defines.join(' ')\")"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "cflags": ["-fvisibility=hidden", "-Wall", "-Wextra", "-O2", "-g1"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,--version-script=<(module_root_dir)/native/addon/exports.map", "-pthread"]
    },
    {
      "target_name": "udp_load",
      "type": "executable",
      "sources": ["<!@(node -p \"require('./native/sources.json').udp_load.join(' ')\")"],
      "defines": ["<!@(node -p \"require('./native/sources.json').defines.join(' ')\")"],
      "include_dirs": ["native"],
      "cflags": ["-Wall", "-Wextra", "-O2", "-g1"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": ["-static-libstdc++", "-static-libgcc"]
    },
    {
      "target_name": "tcp_check",
      "type": "executable",
      "sources": ["<!@(node -p \"require('./native/sources.json').tcp_check.join(' ')\")"],
      "defines": ["<!@(node -p \"require('./native/sources.json').defines.join(' ')\")"],
      "include_dirs": ["native"],
      "cflags": ["-Wall", "-Wextra", "-O2", "-g1"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": ["-static-libstdc++", "-static-libgcc"]
    },
    {
      "target_name": "classic_proxy",
      "type": "executable",
      "sources": ["<!@(node -p \"require('./native/sources.json').classic_proxy.join(' ')\")"],
      "defines": ["<!@(node -p \"require('./native/sources.json').defines.join(' ')\")"],
      "include_dirs": ["native"],
      "cflags": ["-Wall", "-Wextra", "-O2", "-g1"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": ["-static-libstdc++", "-static-libgcc"]
    },
    {
      "target_name": "request_load",
      "type": "executable",
      "sources": ["<!@(node -p \"require('./native/sources.json').request_load.join(' ')\")"],
      "defines": ["<!@(node -p \"require('./native/sources.json').defines.join(' ')\")"],
      "include_dirs": ["native"],
      "cflags": ["-Wall", "-Wextra", "-O2", "-g1"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": ["-static-libstdc++", "-static-libgcc"]
    }
  ]
}
