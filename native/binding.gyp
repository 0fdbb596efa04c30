{
  'targets': [
    {
      # What Node lacks of Linux; see src/host/native.ts.
      'target_name': 'fabric_addon',
      'sources': [
        'addon/addon.cc',
        'addon/monitor.cc',
        'addon/namespace.cc',
        'addon/netlink.cc',
        'addon/system.cc',
      ],
      'include_dirs': ["<!(node -p \"require('node-addon-api').include_dir\")"],
      'defines': ['NAPI_VERSION=8', 'NAPI_DISABLE_CPP_EXCEPTIONS', '_GNU_SOURCE'],
      # Exceptions exist inside (std::thread, std::bad_alloc) and are turned into errno before the border.
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++20', '-fexceptions', '-Wall', '-Wextra', '-Wno-unused-parameter'],
      'ldflags': ['-Wl,-z,relro,-z,now'],
    },
  ],
}
