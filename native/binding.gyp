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
      'defines': [
        'NAPI_VERSION=8',
        'NAPI_DISABLE_CPP_EXCEPTIONS',
        # A promise can't be settled while its environment ends (process.exit during an exchange): no reason to abort.
        'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
        '_GNU_SOURCE',
      ],
      # Exceptions exist inside (std::thread, std::bad_alloc) and are turned into errno before the border.
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++20', '-fexceptions', '-Wall', '-Wextra', '-Wno-unused-parameter'],
      'ldflags': ['-Wl,-z,relro,-z,now'],
    },
    {
      # bin/cni/fabric: static, so that it runs on any host that a runtime copies it to. ld replaces the file, it does
      # not write into it, so a running plugin is no "text file busy".
      'target_name': 'cni_shim',
      'type': 'executable',
      'product_name': 'fabric',
      'product_dir': '<(module_root_dir)/../bin/cni',
      'sources': [
        'cni-shim/base64.cc',
        'cni-shim/daemon_connection.cc',
        'cni-shim/deferred_delete.cc',
        'cni-shim/json.cc',
        'cni-shim/main.cc',
        'cni-shim/messages.cc',
        'cni-shim/plugin_exec.cc',
      ],
      'defines': ['_GNU_SOURCE'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++20', '-fno-exceptions', '-fno-rtti', '-fno-pic', '-Wall', '-Wextra'],
      'ldflags!': ['-rdynamic'],
      'ldflags': ['-static', '-s', '-no-pie'],
    },
    {
      # All of the engine but its main; see docs/engine-control.md. OpenSSL is linked, libipsec-mb is loaded where it is there.
      'target_name': 'engine_library',
      'type': 'static_library',
      'sources': [
        'engine/aead_ipsec_mb.cc',
        'engine/aead_openssl.cc',
        'engine/checksum.cc',
        'engine/commands.cc',
        'engine/control_door.cc',
        'engine/crew.cc',
        'engine/engine.cc',
        'engine/forwarding.cc',
        'engine/frame.cc',
        'engine/lane.cc',
        'engine/locked_memory.cc',
        'engine/neighbour.cc',
        'engine/pieces.cc',
        'engine/port.cc',
        'engine/receive_lane.cc',
        'engine/sandbox.cc',
        'engine/segments.cc',
        'engine/send_lane.cc',
        'engine/session_book.cc',
        'engine/table.cc',
        'engine/too_big.cc',
        'engine/udp_socket.cc',
      ],
      # Debian's OpenSSL headers, not those that Node was built with.
      'include_dirs!': ['<(node_root_dir)/include/node'],
      'defines': ['_GNU_SOURCE'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-strict-aliasing'],
      'cflags_cc': ['-std=c++20', '-O3', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra'],
      'link_settings': {'libraries': ['-lcrypto', '-lpthread', '-ldl']},
    },
    {
      'target_name': 'fabric_engine',
      'type': 'executable',
      'product_name': 'fabric-engine',
      'dependencies': ['engine_library'],
      'sources': ['engine/main.cc'],
      'defines': ['_GNU_SOURCE'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-strict-aliasing'],
      'cflags_cc': ['-std=c++20', '-O3', '-fno-exceptions', '-fno-rtti', '-Wall', '-Wextra'],
      'ldflags!': ['-rdynamic'],
      'ldflags': ['-Wl,-z,relro,-z,now'],
    },
    {
      # The engine's rules on a line protocol, for the tests that compare them with TypeScript's.
      'target_name': 'engine_check',
      'type': 'executable',
      'product_name': 'fabric-engine-check',
      'dependencies': ['engine_library'],
      'sources': ['engine/check/engine_check.cc'],
      'defines': ['_GNU_SOURCE'],
      'cflags_cc!': ['-std=gnu++17', '-std=gnu++20', '-fno-exceptions'],
      # GCC 12 warns falsely of a literal and a std::string that overlap.
      'cflags_cc': ['-std=c++20', '-fno-rtti', '-Wall', '-Wextra', '-Wno-restrict'],
      'ldflags!': ['-rdynamic'],
    },
  ],
}
