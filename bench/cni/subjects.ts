// The two that are compared: our plugin, and Debian's bridge with host-local, with a default route, one address, and namespaces
// of their own. Calls are prepared here, so that the launcher does nothing but start and wait.

import { CNI_PLUGIN } from '../../test/lab/checkout.ts';
import type { PluginStart } from './launcher.ts';

const REFERENCE_PLUGINS = '/usr/lib/cni';

export interface Subject {
  readonly name: 'fabric' | 'reference';
  readonly title: string;
  readonly plugin: string;
  readonly conf: object;
}

export const FABRIC: Subject = {
  name: 'fabric',
  title: 'fabric',
  plugin: CNI_PLUGIN,
  conf: { cniVersion: '1.0.0', name: 'fabric', type: 'fabric' },
};

export const REFERENCE: Subject = {
  name: 'reference',
  title: 'bridge + host-local',
  plugin: `${REFERENCE_PLUGINS}/bridge`,
  conf: {
    cniVersion: '1.0.0',
    name: 'reference',
    type: 'bridge',
    bridge: 'reference0',
    isDefaultGateway: true,
    ipam: { type: 'host-local', subnet: '10.64.0.0/16' },
  },
};

export function call(subject: Subject, verb: 'ADD' | 'DEL', namespace: string): PluginStart {
  return {
    plugin: subject.plugin,
    env: {
      PATH: '/usr/sbin:/usr/bin',
      CNI_COMMAND: verb,
      CNI_CONTAINERID: namespace,
      CNI_NETNS: `/run/netns/${namespace}`,
      CNI_IFNAME: 'eth0',
      CNI_PATH: REFERENCE_PLUGINS,
    },
    stdin: JSON.stringify(subject.conf),
  };
}
