// fabric as the IPAM plugin of another CNI plugin: `"ipam": {"type": "fabric"}` behind bridge, macvlan, …. That plugin makes the
// interface and calls us for addresses alone, with its own configuration and CNI_CONTAINERID. CNI SPEC.md §4 and §Plugin
// delegation; the keys are apart from those of our own attachments.

import { type Call, cniOwner, collect, describe, requireReadiness, staleKeys, stopIfCancelled } from './call.ts';
import { failures, withLeftOver } from './clean-up.ts';
import { parseCniArgs } from './cni-args.ts';
import { CNI_CODE, CniError } from './cni-error.ts';
import { readWishes } from './container-wishes.ts';
import { missingAddresses } from './prev-result.ts';
import { readPrevResult } from './result-read.ts';
import { formatIpamResult } from './result-write.ts';

/** Resolves to what goes to stdout. */
export async function runAsIpam(call: Call): Promise<string> {
  const service = call.backend.addresses;
  switch (call.environment.verb) {
    case 'ADD':
      return add(call);
    case 'DEL':
      await service.release(call.key);
      return '';
    case 'CHECK':
      check(call);
      return '';
    case 'GC':
      await collect(
        staleKeys(call, service.listOwned(cniOwner(call.config.name))).map((key) => () => service.release(key)),
      );
      return '';
    case 'STATUS':
      requireReadiness(call.backend, call.config.network);
      return '';
    case 'VERSION':
      throw new Error('VERSION is answered before a configuration is read');
  }
}

async function add(call: Call): Promise<string> {
  const { config, key, request, backend, version, cancelled } = call;
  const wishes = readWishes(config, parseCniArgs(call.environment.args));
  const wanted = { ...key, owner: cniOwner(config.name), namespace: request.namespace, addresses: wishes.addresses };
  const addresses = await backend.addresses.reserve(wanted, cancelled);
  try {
    stopIfCancelled(call);
    return formatIpamResult({ version, addresses, routes: wishes.routes, dns: wishes.dns });
  } catch (error) {
    throw withLeftOver(error, await failures([() => backend.addresses.release(key)]));
  }
}

function check({ backend, config, key, version }: Call): void {
  const addresses = backend.addresses.find(key);
  if (addresses === null) {
    throw new CniError(CNI_CODE.unknownContainer, `nothing is reserved for ${describe(key)}`);
  }
  // An IPAM plugin may be asked without one; the plugin that calls us checks that there is.
  const prevResult = readPrevResult(config.fields, version);
  const findings = prevResult === null ? [] : missingAddresses(prevResult, addresses);
  if (findings.length === 0) return;
  throw new CniError(CNI_CODE.checkFailed, `CHECK of ${describe(key)} failed`, findings.join('; '));
}
