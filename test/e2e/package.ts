// `npm run package`: the .deb and the tarball, and an installed fabric that neither this checkout nor a Node of the host's has a part
// in. What `fabric setup` installs from there is whole, is ours to replace and to remove, and nothing of others is.

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import type { Status } from '../../src/daemon/status-types.ts';
import { CHECKOUT } from '../lab/checkout.ts';
import { eventually, exec } from '../lab/exec.ts';
import { FakeSystemd } from '../lab/fake-systemd.ts';
import { Lab } from '../lab/lab.ts';

/** No npm, no compiler and no Node, only what Debian has in its base system and fabric's dependencies. */
const BARE = ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'];
const NO_SYSTEMD = existsSync('/usr/bin/systemd-analyze')
  ? false
  : 'systemd is not installed: FABRIC_SETUP=full npm run setup';
/** Of `systemd-analyze security`, in tenths: what may change interfaces and enter namespaces can't be harmless. */
const EXPOSURE_MAX = 43;

test('fabric as a package', async (t) => {
  const lab = await Lab.create();
  t.teardown(() => lab.destroy());
  const out = join(lab.directory, 'out');
  const script = join(CHECKOUT, 'scripts/package.mjs');
  await exec([process.execPath, script, '--as-is', '--level', '1', '--to', out], { timeoutMs: 60_000 });
  const deb = join(out, readdirSync(out).find((name) => name.endsWith('.deb'))!);
  const tarball = join(out, readdirSync(out).find((name) => name.endsWith('.tar.gz'))!);

  const system = join(lab.directory, 'system');
  await t.test('the .deb installs where its dependencies are', async (t) => {
    const admin = join(lab.directory, 'dpkg');
    for (const folder of [system, join(admin, 'info'), join(admin, 'updates')]) mkdirSync(folder, { recursive: true });
    writeFileSync(join(admin, 'status'), readFileSync('/var/lib/dpkg/status'));
    const dpkg = [
      'dpkg',
      `--admindir=${admin}`,
      `--instdir=${system}`,
      '--force-not-root',
      '--force-unsafe-io',
      '--log=/dev/null',
    ];
    await exec([...dpkg, '--install', deb]);
    t.ok(existsSync(join(system, 'opt/fabric/bin/fabric')), 'below /opt/fabric');
    const { stdout: depends } = await exec(['dpkg-deb', '--field', deb, 'Depends']);
    for (const tool of ['iproute2', 'nftables']) t.match(depends, tool, `${tool}, which fabric runs, comes along`);
    const { stdout: listed } = await exec(['tar', '-tzf', tarball]);
    t.match(listed, /^fabric\/bin\/fabric$/m, 'and the tarball has the same tree');
    t.notMatch(listed, /\/(test|typescript|vitest|node-gyp)\//, 'without what only the build needs');
  });

  const host = await lab.host('a');
  await host.run(['mount', '--bind', '-o', 'ro', join(system, 'opt/fabric'), '/opt/fabric']);
  const fabric = (args: readonly string[], mayFail = false) => {
    return host.run([...BARE, '/opt/fabric/bin/fabric', ...args], { mayFail, timeoutMs: 60_000 });
  };
  const units = join(lab.directory, 'units');
  await t.test('fabric setup systemd', async (t) => {
    t.match((await fabric(['--version'])).stdout, /^fabric \d/, 'the command starts');
    t.match((await fabric(['setup', 'systemd', '--unit-dir', units])).stdout, /fabric\.service: installed\n/, 'a unit');
    const unit = readFileSync(join(units, 'fabric.service'), 'utf8');
    const command = '/opt/fabric/lib/node /opt/fabric/dist/src/cli/main.js launch';
    t.match(
      unit,
      `\nExecStart=${command} --state-dir /var/lib/fabric --run-dir /run/fabric\n`,
      'starts this very fabric',
    );
    t.match(unit, '\nKillMode=process\n', 'the engine survives a restart');
    t.match(unit, '\nConditionPathExists=/var/lib/fabric/identity.json\n', 'a boot founds no cluster');
  });

  await t.test('systemd understands the unit', { skip: NO_SYSTEMD }, async (t) => {
    const path = join(units, 'fabric.service');
    const verified = await host.run(['systemd-analyze', 'verify', '--man=no', '--recursive-errors=no', path]);
    t.equal(verified.stderr, '', 'and has nothing to say against it');
    const review = ['systemd-analyze', 'security', '--offline=yes', '--no-pager', `--threshold=${EXPOSURE_MAX}`, path];
    const { status, stdout } = await host.run(review, { mayFail: true });
    t.equal(status, 0, stdout.trim().split('\n').at(-1) ?? 'it says a score');
  });

  await t.test('it runs as the unit says, with its own Node and its own engine', async (t) => {
    const unit = readFileSync(join(units, 'fabric.service'), 'utf8');
    const systemd = await FakeSystemd.start(lab, host);
    const first = systemd.run(unit);
    await eventually('it is ready', () => systemd.has('READY=1'), { timeoutMs: 20_000 });
    t.match(
      (await host.run(['readlink', `/proc/${await host.daemonPid()}/exe`])).stdout,
      '/opt/fabric/lib/node\n',
      'its own Node',
    );
    await eventually('it says how it is', () => systemd.has('STATUS=healthy'));
    await eventually('and that it lives', () => systemd.has('WATCHDOG=1'));
    const status = JSON.parse((await fabric(['status', '--json'])).stdout) as Status;
    t.equal(status.datapath.name, 'engine', 'its own engine');
    t.same(status.datapath.lacks, [], 'which lacks nothing with the capabilities of the unit');
    const engine = (await host.run(['pidof', 'fabric-engine'])).stdout;

    systemd.forget();
    await first.stop();
    await eventually('it has said that it stops', () => systemd.has('STOPPING=1'));
    systemd.run(unit, ['--setup-cni']);
    await eventually('its next start is ready', () => systemd.has('READY=1'), { timeoutMs: 20_000 });
    t.equal((await host.run(['pidof', 'fabric-engine'])).stdout, engine, 'a restart leaves the engine');
    const conflist = ['test', '-f', '/etc/cni/net.d/10-fabric.conflist'];
    await eventually('the configuration for runtimes is there', async () => {
      return (await host.run(conflist, { mayFail: true })).status === 0;
    });
    await fabric(['setup', 'cni', '--remove']);
    await fabric(['setup', 'systemd', '--unit-dir', units, '--remove']);
    t.same(readdirSync(units), [], 'and the unit goes again');
  });

  await t.test('R7 fabric setup cni', async (t) => {
    t.match(
      (await fabric(['setup', 'cni'])).stdout,
      /there is no portmap/,
      'says what else is needed for published ports',
    );
    await attaches(t, host, fabric);
    await host.run(['sh', '-c', 'cat > /opt/cni/bin/portmap'], { input: '' });
    t.match(
      (await fabric(['setup', 'cni'])).stdout,
      /conflist: kept as it is/,
      'a configuration that people may have edited stays',
    );
    await fabric(['setup', 'cni', '--remove']);
    t.equal((await host.run(['ls', '-A', '/etc/cni/net.d'])).stdout, '', 'nothing is left of the configuration');
    t.equal((await host.run(['ls', '-A', '/opt/cni/bin'])).stdout, 'portmap\n', 'and of the plugin');
    await host.run(['tee', '/opt/cni/bin/fabric'], { input: '#!/bin/sh\n' });
    const refused = await fabric(['setup', 'cni'], true);
    t.equal(refused.status, 1, "somebody else's plugin is not replaced");
    t.match(refused.stderr, /\/opt\/cni\/bin\/fabric is not fabric's/, 'and the reason is said');
  });
});

/** A container by the installed plugin, with the installed configuration, as a runtime does it. */
async function attaches(
  t: Test,
  host: Awaited<ReturnType<Lab['host']>>,
  fabric: (args: readonly string[]) => Promise<{ stdout: string }>,
): Promise<void> {
  const list = JSON.parse((await host.run(['cat', '/etc/cni/net.d/10-fabric.conflist'])).stdout) as {
    name: string;
    cniVersion: string;
    plugins: readonly { type: string }[];
  };
  const { name, cniVersion, plugins } = list;
  t.same(
    plugins.map(({ type }) => type),
    ['fabric'],
    'one plugin',
  );
  const container = await host.namespace('c');
  const stdin = { ...plugins[0], name, cniVersion };
  await container.cni('ADD', { plugin: '/opt/cni/bin/fabric', stdin });
  t.equal(JSON.parse((await fabric(['ps', '--json'])).stdout).length, 1, 'a container is attached');
  await container.cni('DEL', { plugin: '/opt/cni/bin/fabric', stdin });
}
