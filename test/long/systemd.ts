// fabric.service under a systemd that is process 1: it is ready when fabric says so, and a restart, a crash and a hung daemon leave the
// engine alone, so that no packet is lost; what the unit promises of KillMode=process, Restart= and WatchdogSec=, shown for real.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { eventually } from '../lab/exec.ts';
import { Lab } from '../lab/lab.ts';
import { ProbePair } from '../lab/probe.ts';
import { NO_SYSTEMD, SystemdHost } from '../lab/systemd.ts';

const UNIT = 'fabric.service';
/** The unit waits for half a minute; a stopped process hears no SIGABRT, so systemd kills it after that. */
const IMPATIENT = '[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n';

test('fabric under systemd', { skip: NO_SYSTEMD, timeout: 300_000 }, async (t) => {
  const lab = await Lab.create();
  const outer = await lab.host('one');
  const systemd = await SystemdHost.start(lab, outer);
  t.teardown(async () => {
    await lab.destroy();
    await eventually('the control groups are free', () => isDone(() => systemd.removeGroups()));
  });
  const one = systemd.host;
  const two = await lab.host('two');
  const engine = async () => (await one.run(['pidof', 'fabric-engine'])).stdout.trim();
  const mainPid = () => systemd.property(UNIT, 'MainPID');

  await t.test('set up as docs/operations.md says', async (t) => {
    await one.fabric(['setup', 'systemd', '--unit-dir', systemd.unitDirectory]);
    await systemd.systemctl(['daemon-reload']);
    await systemd.systemctl(['start', UNIT]);
    t.equal(await systemd.property(UNIT, 'ConditionResult'), 'no', 'a host that is no member founds no cluster');
    await one.launch();
    await two.launch({ join: one, token: await one.token() });
    await one.fabric(['stop']);
    await systemd.systemctl(['start', UNIT]);
    const states = ['ActiveState', 'SubState', 'NRestarts'].map((name) => systemd.property(UNIT, name));
    t.same(await Promise.all(states), ['active', 'running', '0'], 'started means ready');
    t.equal(await mainPid(), String(await one.daemonPid()), 'its main process is the daemon');
    const group = (await one.run(['cat', `/proc/${await engine()}/cgroup`])).stdout;
    t.match(group, /^0::.*\/fabric\.service$/m, "the engine is in the unit's control group");
    await eventually('systemctl status says how fabric is', async () => {
      return (await systemd.property(UNIT, 'StatusText')) === 'healthy';
    });
  });

  await two.waitReady(1);
  const probes = await ProbePair.start(lab, await one.container('near'), await two.container('far'));
  const held = await engine();
  /** What frames notice of it, and that there is another daemon and the same engine afterwards. */
  const passes = async (t: Test, what: string, work: () => Promise<unknown>): Promise<void> => {
    const before = await mainPid();
    const report = await probes.during(async () => {
      await work();
      await eventually('another daemon is ready', async () => {
        const [pid, state] = [await mainPid(), await systemd.property(UNIT, 'SubState')];
        return pid !== before && pid !== '0' && state === 'running';
      });
    });
    t.equal(report.lost, 0, `${what}: no packet lost, the latest ${report.silenceMs.toFixed(0)} ms late`);
    t.equal(await engine(), held, 'the engine is the same');
  };

  await t.test('systemctl restart', (t) => passes(t, 'a restart', () => systemd.systemctl(['restart', UNIT])));
  await t.test('systemctl stop, and start', async (t) => {
    await passes(t, 'a stop and a start', async () => {
      await systemd.systemctl(['stop', UNIT]);
      t.same([await mainPid(), await engine()], ['0', held], 'no daemon, but the engine');
      await systemd.systemctl(['start', UNIT]);
    });
  });
  await t.test('a crash', async (t) => {
    await passes(t, 'kill -9', async () => one.run(['kill', '-KILL', await mainPid()]));
    t.equal(await systemd.property(UNIT, 'NRestarts'), '1', 'systemd has started it again');
  });
  await t.test('a daemon that hangs', async (t) => {
    const overrides = join(outer.runDirectory, `units/${UNIT}.d`);
    mkdirSync(overrides);
    writeFileSync(join(overrides, 'impatient.conf'), IMPATIENT);
    await systemd.systemctl(['daemon-reload']);
    await passes(t, 'a restart for the watchdog to be impatient', () => systemd.systemctl(['restart', UNIT]));
    await passes(t, 'a stopped process', async () => one.run(['kill', '-STOP', await mainPid()]));
    t.equal(await systemd.property(UNIT, 'NRestarts'), '1', 'the watchdog has ended it');
  });
  await probes.stop();
  await eventually('it is as before', async () => (await systemd.property(UNIT, 'StatusText')) === 'healthy');
  t.comment((await systemd.systemctl(['status', '--lines=0', UNIT])).stdout);
});

/** False when it throws: a killed process leaves its group a moment later. */
function isDone(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}
