// `npm run sim`: the deterministic simulator of whole clusters. It is not there yet: the cores that it will run have small
// simulations of their own among the unit tests (test/gossip/gossip-sim.ts, test/ipam/sim-cluster.ts).

process.stderr.write(
  'npm run sim is not there yet: the cluster simulator comes later (npm test runs the small ones)\n',
);
process.exitCode = 2;
