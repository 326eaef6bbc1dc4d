{
  "targets": [
    {
      "target_name": "ripstop",
      "sources": ["<!@(node -p \"const s=require('./native/sources.json'); [...s.core, ...s.addon].join(' ')\")"],
      "defines": ["<!@(node -p \"require('./native/sources.json').defines.join(' ')\")"],
      "include_dirs": ["native", "<!(node -p \"require('node-addon-api').include_dir\")"],
      "cflags": ["-fvisibility=hidden", "-Wall", "-Wextra", "-O2", "-g"],
      "cflags_cc": ["-std=c++20", "-fno-exceptions", "-fno-rtti"],
      "cflags_cc!": ["-std=gnu++17", "-std=gnu++20"],
      "ldflags": ["-static-libstdc++", "-static-libgcc", "-Wl,--version-script=<(module_root_dir)/native/addon/exports.map", "-pthread"]
    }
  ]
}
