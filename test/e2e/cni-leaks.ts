// What runtimes leave behind, with real namespaces: a DEL that never comes, a path that leads to another namespace, a host that
// booted. `fabric ps --prune` frees what is safe to free and says what it keeps; nothing that lives is ever cut off.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import type { LabContainer } from '../lab/container.ts';
import { eventually } from '../lab/exec.ts';
import type { LabHost } from '../lab/host.ts';
import { Lab } from '../lab/lab.ts';
import { REFERENCE_PLUGINS } from '../lab/plugin-chain.ts';

const NOT_INSTALLED = existsSync(`${REFERENCE_PLUGINS}/bridge`)
  ? false
  : 'containernetworking-plugins is not installed: FABRIC_SETUP=full npm run setup';
/** Debian's bridge with our addresses: no kernel object tells when such a container is gone. */
const BEHIND_BRIDGE = {
  plugin: `${REFERENCE_PLUGINS}/bridge`,
  stdin: { cniVersion: '1.0.0', name: 'lan', type: 'bridge', bridge: 'br9', ipam: { type: 'fabric' } },
};

test('what runtimes leave behind', { skip: NOT_INSTALLED }, async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const host = await lab.host('a');
  await host.launch();
  const ids = async () => {
    const { attachments, reservations } = await host.status();
    return [...attachments, ...reservations].map(({ containerId }) => containerId).sort();
  };

  await t.test('L2 fabric ps --prune: frees what is gone, keeps what may live', async (t) => {
    const idle = await host.container('idle');
    const inhabited = await host.container('inhabited');
    lab.spawn([...inhabited.enter(), 'sleep', '1000']);
    const gone = await host.namespace('gone');
    await gone.cni('ADD', BEHIND_BRIDGE);
    await host.run(['ip', 'netns', 'delete', 'gone']);
    await host.run(['ip', 'netns', 'add', 'byhand']);
    await host.fabric(['attach', 'netns:byhand']);
    const all = await ids();
    t.equal(all.length, 4, 'three of CNI and one of fabric attach, of which one has lost its namespace');

    const elsewhere = [
      'unshare',
      '--pid',
      '--fork',
      '--mount-proc',
      ...host.fabricCommand(['ps', '--prune', '--idle']),
    ];
    const blind = await host.run(elsewhere, { mayFail: true });
    t.match(blind.stderr, 'PID namespace', 'a command that sees other processes than we do frees nothing');
    t.same(await ids(), all);
    const pruned = await host.fabric(['ps', '--prune']);
    t.match(pruned.stdout, `freed eth0 of ${gone.id}\n1 freed\n1 kept whose network namespace is there`);
    t.same(
      await ids(),
      all.filter((id) => id !== gone.id),
      'an address that nobody can use any more is free',
    );
    t.match((await host.fabric(['ps', '--prune', '--idle'])).stdout, `freed eth0 of ${idle.id}\n1 freed\n`);
    await eventually('its interface goes too', async () => {
      return (await idle.run(['ip', 'link', 'show', 'eth0'], { mayFail: true })).status !== 0;
    });
    t.same(
      await ids(),
      all.filter((id) => ![gone.id, idle.id].includes(id)),
      'but not where a process lives',
    );
    t.ok(await inhabited.pings('10.32.0.1'), 'which goes on');
    await inhabited.remove();
    await host.fabric(['detach', 'netns:byhand']);
    await host.run(['ip', 'netns', 'delete', 'byhand']);
    t.same(await ids(), []);
  });

  await t.test('L6 a path that leads to another namespace than before', async (t) => {
    const container = await host.container('reused');
    await renew(host, container);
    const { stdout } = await container.cni('ADD');
    const { ips } = JSON.parse(stdout) as { ips: readonly { address: string }[] };
    t.same(
      (await host.status()).attachments[0]?.ips,
      ips.map(({ address }) => address),
      'the new ADD took the place',
    );
    // A process keeps the old namespace, and with it the interface, though the path leads elsewhere.
    lab.spawn([...container.enter(), 'sleep', '1000']);
    let pid = '';
    await eventually('a process lives there', async () => {
      pid = (await host.run(['ip', 'netns', 'pids', 'reused'])).stdout.trim();
      return /^\d+$/.test(pid);
    });
    await renew(host, container);
    const refused = await container.cni('ADD', { mayFail: true });
    t.match(JSON.parse(refused.stdout), { code: 101 }, 'as long as the old interface lives, another ADD is refused');
    t.match((await host.fabric(['ps', '--prune', '--idle'])).stdout, '0 freed\n', 'and nothing is pruned');
    await host.run(['kill', '-KILL', pid]);
    await eventually('it is freed when the last process ends', async () => (await ids()).length === 0);
    await container.cni('ADD');
    await container.remove();
  });

  await t.test('L1 a host that booted: state of before, nothing else', async (t) => {
    const plain = await host.container('plain');
    const reserved = await host.namespace('reserved');
    await reserved.cni('ADD', BEHIND_BRIDGE);
    t.same(await ids(), [plain.id, reserved.id].sort());
    await host.kill('KILL');
    await kernelOfNow(lab, host, [plain, reserved]);
    await host.launch();
    t.same(await ids(), [], 'nothing of before the boot is held');
    const { leases, self } = await host.status();
    const used = leases.filter(({ peer }) => peer === self.id).map((lease) => lease.used ?? 0);
    t.same(
      used.filter((count) => count > 0),
      [1, 1],
      'but for the addresses of the host itself',
    );
    const again = await host.container('again');
    t.ok(await again.pings('10.32.0.1'), 'and containers attach as ever');
  });
});

/** The path leads to a new namespace from now on. */
async function renew(host: LabHost, { name }: LabContainer): Promise<void> {
  await host.run(['ip', 'netns', 'delete', name]);
  await host.run(['ip', 'netns', 'add', name]);
}

/** What a boot leaves: no namespace, no interface of ours, nothing in the run directory, another boot id. */
async function kernelOfNow(lab: Lab, host: LabHost, containers: readonly LabContainer[]): Promise<void> {
  for (const { name } of containers) await host.run(['ip', 'netns', 'delete', name]);
  const { stdout } = await host.run(['ip', '-j', 'link', 'show']);
  const ours = (JSON.parse(stdout) as readonly { ifname: string }[]).filter(({ ifname }) =>
    /^(fab|host0|br9)/.test(ifname),
  );
  for (const { ifname } of ours) await host.run(['ip', 'link', 'delete', ifname], { mayFail: true });
  await host.run(['nft', 'flush', 'ruleset']);
  await host.run(['find', '/run/fabric', '-mindepth', '1', '-delete']);
  const bootId = join(lab.directory, 'boot_id');
  await host.run(['tee', bootId], { input: '11111111-2222-4333-8444-555555555555\n' });
  await host.run(['mount', '--bind', bootId, '/proc/sys/kernel/random/boot_id']);
}
