// The status of a host in a cluster of many, as a daemon would give it: hosts with containers, leases and names, and counters that
// grow. Always the same for the same numbers, so that pictures of it can be compared.

import type { Status, TunnelRow } from '../../src/daemon/status-types.ts';
import { status } from '../cli/status/some-status.ts';

const STARTED_MS = 60_000;

/** `atMs`: how long it has been watched; counters grow with it. */
export function statusOfMany(hosts: number, containersPerHost: number, atMs: number): Status {
  const peers = Array.from({ length: hosts - 1 }, (_, index) => index + 1);
  const blockSize = 2 ** Math.floor(Math.log2(2 ** 20 / hosts));
  const everyone = [0, ...peers];
  const like = status();
  return {
    ...like,
    self: {
      id: idOf(0),
      nickname: nameOf(0),
      version: '0.1.0',
      clusterId: 'c'.repeat(32),
      uptimeMs: STARTED_MS + atMs,
      addresses: [],
    },
    datapath: { ...like.datapath, name: 'engine' },
    peers: peers.map((index) => ({
      id: idOf(index),
      nickname: nameOf(index),
      endpoint: `192.0.2.${index % 250}:6783`,
      state: index % 97 === 96 ? 'dead' : 'alive',
      lastSeenMs: 100,
    })),
    tunnels: peers.map((index) => tunnelOf(index, atMs)),
    routes: everyone.flatMap((index) =>
      Array.from({ length: containersPerHost }, (_, container) => ({
        network: 'fabric',
        mac: `02:00:00:${byte(container)}:${byte(index >> 8)}:${byte(index)}`,
        ips: [`${addressOf(index * blockSize + container + 2)}/12`],
        peer: idOf(index),
        local: index === 0,
        sequence: 0,
        state: 'active' as const,
        reason: null,
      })),
    ),
    leases: everyone.map((index) => ({
      network: 'fabric',
      cidr: `${addressOf(index * blockSize)}/${32 - Math.log2(blockSize)}`,
      peer: idOf(index),
      epoch: 1,
      used: index === 0 ? containersPerHost : null,
      size: blockSize,
      state: index === 0 ? 'active' : 'foreign',
      expiresAt: null,
    })),
    attachments: [],
    reservations: [],
    dns: everyone.map((index) => ({
      name: `web${index}.fabric.internal`,
      ips: [`${addressOf(index * blockSize + 2)}/12`],
      peer: idOf(index),
      network: 'fabric',
    })),
    nameServer: {
      state: 'serving',
      domain: 'fabric.internal',
      addresses: ['10.32.0.1'],
      upstreams: [],
      reason: null,
      counters: {},
    },
    docker: { state: 'off', networks: 0, waiting: 0, reason: null, counters: {} },
    http: { state: 'serving', address: '127.0.0.1:6784', reason: null },
    targets: [],
  };
}

/** Most are quiet, some carry much; a few are pcap, plain or without a session. */
function tunnelOf(index: number, atMs: number): TunnelRow {
  const bytesPerSecond = index % 7 === 0 ? 10 ** (2 + (index % 6)) : 0;
  const bytes = Math.round((bytesPerSecond * atMs) / 1000);
  const isIdle = index % 5 === 4;
  const datapath = index % 11 === 10 ? 'vxlan' : index % 9 === 8 ? 'pcap' : 'engine';
  return {
    peer: idOf(index),
    nickname: nameOf(index),
    endpoint: `192.0.2.${index % 250}:6783`,
    relay: null,
    nat: isIdle ? null : 'none',
    state: isIdle ? 'idle' : 'established',
    encrypted: datapath !== 'vxlan',
    datapath,
    cipher: isIdle || datapath === 'vxlan' ? null : 'aes-256-gcm',
    mtu: 1500,
    rttMs: 1 + (index % 40),
    txBytes: bytes,
    rxBytes: bytes,
    txFrames: Math.round(bytes / 1000),
    rxFrames: Math.round(bytes / 1000),
    drops: {},
    reason: null,
  };
}

function nameOf(index: number): string {
  return `host-${index + 1}`;
}

function idOf(index: number): string {
  return ((index * 2_654_435_761) >>> 0).toString(16).padStart(8, '0').repeat(4);
}

function byte(value: number): string {
  return (value & 255).toString(16).padStart(2, '0');
}

/** The nth of 10.32.0.0/12. */
function addressOf(n: number): string {
  const value = 10 * 2 ** 24 + 32 * 2 ** 16 + n;
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}
