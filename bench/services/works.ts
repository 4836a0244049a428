/** What is asked of a service, and by which way. */
export type Contestant = {
  /** As it is printed: what is asked, where, by what. */
  name: ContestantName;
  /** The process whose processor time is counted. */
  service: ServiceName;
};

/** One instance of each; `catalogCached` is the one that has Redis. */
export const serviceNames = ['catalog', 'catalogCached', 'inventory'] as const;
export type ServiceName = (typeof serviceNames)[number];

export const contestantNames = [
  'product-rest',
  'product-grpc',
  'product-rest-cached',
  'product-grpc-cached',
  'page-rest',
  'page-grpc',
  'page-rest-cached',
  'stock-rest',
  'stock-grpc',
  'take-rest',
  'take-grpc',
  'sell-grpc',
] as const;
export type ContestantName = (typeof contestantNames)[number];

export const contestants: readonly Contestant[] = contestantNames.map((name) => ({
  name,
  service: name.endsWith('-cached') ? 'catalogCached' : /^(product|page)-/.test(name) ? 'catalog' : 'inventory',
}));

/** What is divided by what. */
export type Pair = { ratio: string; ours: ContestantName; theirs: ContestantName };

/**
 * A cached page by gRPC is not among them: BatchGetProducts asks the database. `take` is stock taken once: by REST an adjustment, by
 * gRPC a reservation, which writes its own rows beside what both write; `sell` confirms it too.
 */
export const pairs: readonly Pair[] = [
  { ratio: 'productGrpcVsRest', ours: 'product-grpc', theirs: 'product-rest' },
  { ratio: 'productGrpcVsRestCached', ours: 'product-grpc-cached', theirs: 'product-rest-cached' },
  { ratio: 'productRestCachedVsUncached', ours: 'product-rest-cached', theirs: 'product-rest' },
  { ratio: 'productGrpcCachedVsUncached', ours: 'product-grpc-cached', theirs: 'product-grpc' },
  { ratio: 'pageGrpcVsRest', ours: 'page-grpc', theirs: 'page-rest' },
  { ratio: 'pageRestCachedVsUncached', ours: 'page-rest-cached', theirs: 'page-rest' },
  { ratio: 'stockGrpcVsRest', ours: 'stock-grpc', theirs: 'stock-rest' },
  { ratio: 'takeGrpcVsRest', ours: 'take-grpc', theirs: 'take-rest' },
  { ratio: 'sellVsTake', ours: 'sell-grpc', theirs: 'take-grpc' },
];
