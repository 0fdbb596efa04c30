// What a daemon and its engine take while a hundred tunnels stand and carry nothing. The daemon is a real one; its peers are
// played by bench/crowd.ts in a namespace of its own, so that one machine can hold them. Two parts make the figure: what is
// spent per second on keepalives and timers, and what new keys of a tunnel that stands cost, once every 120 s and tunnel.

import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { REKEY_AFTER_MS } from '../src/router/tunnel-timing.ts';
import { CHECKOUT } from '../test/lab/checkout.ts';
import { eventually } from '../test/lab/exec.ts';
import type { LabHost } from '../test/lab/host.ts';
import type { Lab } from '../test/lab/lab.ts';
import { DAEMON_PROCESS, ENGINE_PROCESS } from '../test/lab/processes.ts';
import { withLab } from '../test/lab/with-lab.ts';
import { exactUs } from './process-time.ts';

export interface IdleTunnelsOptions {
  readonly tunnels: number;
  /** How long nothing happens. */
  readonly seconds: number;
}

/** In percent of one core. */
export type IdleTunnelsFigures = Record<'tunnelsCpuPercent' | 'tunnelsKeepPercent' | 'tunnelsRekeyPercent', number>;

const ESTABLISH_MAX_MS = 60_000;
/** The last handshake's traces are gone. */
const SETTLE_MS = 1_000;

export function measureIdleTunnels({ tunnels, seconds }: IdleTunnelsOptions): Promise<IdleTunnelsFigures> {
  return withLab(async (lab) => {
    const host = await lab.host('one');
    const crowd = await lab.host('crowd');
    await host.launch({ flags: ['--datapath', 'engine'] });
    await host.container('container');
    const peers = startCrowd(lab, { crowd, host, tunnels });
    await peers.sessions(tunnels);
    await sleep(SETTLE_MS);
    const keep = await percentOver(host, seconds);
    const beforeUs = await cpuUs(host);
    const startMs = performance.now();
    peers.renew();
    await peers.sessions(2 * tunnels);
    await sleep(SETTLE_MS);
    const handshakesUs = (await cpuUs(host)) - beforeUs - (keep / 100) * (performance.now() - startMs) * 1000;
    await assertEstablished(host, tunnels);
    const rekey = (Math.max(0, handshakesUs) / 1000 / REKEY_AFTER_MS) * 100;
    return { tunnelsCpuPercent: keep + rekey, tunnelsKeepPercent: keep, tunnelsRekeyPercent: rekey };
  });
}

interface Crowd {
  /** Resolves when so many sessions were made. */
  sessions(count: number): Promise<void>;
  /** New keys for all tunnels, one after the other. */
  renew(): void;
}

function startCrowd(
  lab: Lab,
  { crowd, host, tunnels }: { readonly crowd: LabHost; readonly host: LabHost; readonly tunnels: number },
): Crowd {
  const program = ['env', '-u', 'NODE_OPTIONS', process.execPath, join(CHECKOUT, 'dist/bench/crowd.js')];
  const facts = [join(host.stateDirectory, 'identity.json'), host.ip, String(tunnels)];
  const child = lab.spawn([...crowd.enter(), ...program, ...facts], { stdin: 'pipe' });
  let made = 0;
  let said = '';
  createInterface({ input: child.stdout! }).on('line', (line) => {
    made = (JSON.parse(line) as { sessions: number }).sessions;
  });
  child.stderr!.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8');
  });
  return {
    sessions: async (count) => {
      await eventually(
        `${count} sessions were made`,
        () => {
          if (child.exitCode !== null) throw new Error(`the crowd ended: ${said}`);
          return made === count;
        },
        { timeoutMs: ESTABLISH_MAX_MS },
      );
    },
    renew: () => void child.stdin!.write('\n'),
  };
}

/** Else the figure would be that of fewer tunnels. */
async function assertEstablished(host: LabHost, tunnels: number): Promise<void> {
  const status = await host.status();
  const standing = status.tunnels.filter(({ state }) => state === 'established').length;
  if (standing !== tunnels) throw new Error(`${standing} of ${tunnels} tunnels stand after the measurement`);
}

async function percentOver(host: LabHost, seconds: number): Promise<number> {
  const beforeUs = await cpuUs(host);
  const startMs = performance.now();
  await sleep(seconds * 1000);
  const us = (await cpuUs(host)) - beforeUs;
  return us / 10 / (performance.now() - startMs);
}

function cpuUs(host: LabHost): Promise<number> {
  return exactUs(host, [DAEMON_PROCESS, ENGINE_PROCESS]);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
