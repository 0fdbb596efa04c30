// Opens a container's network namespace from another process: `/proc/PID/fd/FD`, so that the daemon may live in another mount
// namespace than the runtime. What is opened must be the very namespace (device and inode) that the caller meant.

import { readFileSync } from 'node:fs';
import { FabricError } from '../base/errors.ts';
import type { NamespaceHandle } from '../cni-plugin/backend.ts';
import { NetworkNamespace, peerCredentials } from '../host/native.ts';
import type { OpenNamespace } from './attachment-ports.ts';

/** Throws FabricError `namespace-invalid`. */
export function openNamespace(handle: NamespaceHandle): OpenNamespace {
  const namespace = NetworkNamespace.open(`/proc/${handle.pid}/fd/${handle.fd}`);
  if (!namespace.equals(handle)) {
    namespace.close();
    throw new FabricError('namespace-invalid', {
      what: `the network namespace ${handle.path} is not what the caller opened`,
      why: 'its device and inode differ: the descriptor was reused',
    });
  }
  if (namespace.equals(NetworkNamespace.currentId())) {
    namespace.close();
    throw new FabricError('namespace-invalid', {
      what: `the network namespace ${handle.path} is the host's own`,
      why: 'an interface for a container would take over the host',
      fix: 'Name the namespace of a container; the host itself has host0 (fabric expose)',
    });
  }
  return { fd: namespace.fd, close: () => namespace.close() };
}

/** The pid at the other end of a unix socket, by the kernel's word. */
export function peerPid(socketFd: number): number {
  return peerCredentials(socketFd).pid;
}

/** Another value than last time means that the host booted since, and no network namespace of then is left. */
export function kernelBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
