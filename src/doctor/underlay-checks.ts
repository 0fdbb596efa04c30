// Does the network below carry what fabric needs on this host: addresses, routes, ports, offloads, reverse path filters.

import { type Finding, finding } from './finding.ts';
import type { Readings, UnderlayReading } from './readings.ts';

export function checkUnderlay({ underlay, daemon, machine }: Readings): readonly Finding[] {
  const readable = machine.missingCapabilities.length === 0;
  return [
    ...(readable && underlay.interfaces.length === 0 ? [noAddress()] : []),
    ...ports(underlay),
    ...routes(underlay, daemon !== null),
    ...duplicates(underlay),
    ...offloads(underlay),
    ...reversePath(underlay),
  ];
}

function noAddress(): Finding {
  return finding('underlay-missing', 'error', {
    what: 'this host has no address that another host could reach',
    why: 'all addresses are loopback or link-local, or their interfaces are down',
    fix: 'ip address show; or name one that is reached through NAT: fabric launch --advertise ADDRESS',
  });
}

function ports({ takenPorts }: UnderlayReading): readonly Finding[] {
  return takenPorts.map(({ protocol, port, holder }) =>
    finding('port-taken', 'error', {
      what: `${protocol} port ${port} is taken`,
      why: `by ${holder}: fabric can not start on it`,
      fix: `End that program, or take another port on all hosts: fabric launch --port ${port + 10}`,
    }),
  );
}

function routes({ overlappingRoutes }: UnderlayReading, running: boolean): readonly Finding[] {
  return overlappingRoutes.map((route) =>
    finding('route-overlap', 'error', {
      what: `the route ${route} overlaps the overlay's addresses`,
      why: 'packets for containers leave by that route instead, or the other way round',
      fix: running
        ? `ip route del ${route}`
        : `Choose other addresses with fabric launch --range; or, where nothing needs that route: ip route del ${route}`,
    }),
  );
}

function duplicates({ duplicates: found }: UnderlayReading): readonly Finding[] {
  return found.map(({ ip, ifname, mac }) =>
    finding('address-duplicate', 'error', {
      what: `another machine uses this host's address ${ip} (${ifname})`,
      why:
        mac === null
          ? 'duplicate address detection found it: the kernel does not use the address'
          : `${mac} answers for it, too: datagrams of peers go now here, now there`,
      fix: `Give one of them another address: ip address del ${ip} dev ${ifname}`,
    }),
  );
}

function offloads({ interfaces }: UnderlayReading): readonly Finding[] {
  return interfaces
    .filter(({ offloadsOff }) => offloadsOff.length > 0)
    .map(({ name, offloadsOff }) =>
      finding('offload-off', 'warning', {
        what: `${offloadsOff.join(', ')} switched off on ${name}`,
        why: 'every datagram of a tunnel passes the kernel on its own: several times the CPU per byte',
        fix: `ethtool -K ${name} ${offloadsOff.map((offload) => `${offload} on`).join(' ')}`,
      }),
    );
}

function reversePath({ strictReversePath }: UnderlayReading): readonly Finding[] {
  return strictReversePath.map((name) =>
    finding('rp-filter', 'error', {
      what: `the reverse path filter of ${name} is strict`,
      why: 'packets of local containers to this host come in by another interface than the way back: they are dropped',
      fix: `sysctl -w net.ipv4.conf.${name}.rp_filter=2`,
    }),
  );
}
