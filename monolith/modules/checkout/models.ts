import { DataTypes, type Model, type ModelStatic, type Sequelize } from 'sequelize';

/** One use of an Idempotency-Key by one account. */
export type IdempotencyKeyRow = {
  account_id: number;
  idempotency_key: string;
  /** SHA-256 of the request's body, hexadecimal. */
  request_hash: string;
  state: 'running' | 'answered';
  /** Who runs it: a random token, so that a run that lost its lease can commit nothing. */
  runner: string;
  /** Until then `runner` is taken to be alive; later another request with the key may take over. */
  leased_until: Date;
  /** The order made under this key, from the moment in which it is committed. */
  order_id: number | null;
  answer_status: number | null;
  answer_type: string | null;
  answer_location: string | null;
  answer_body: string | null;
  created_at: Date;
  expires_at: Date;
};

export type IdempotencyKey = Model<IdempotencyKeyRow, IdempotencyKeyRow> & IdempotencyKeyRow;

export type CheckoutModels = { IdempotencyKey: ModelStatic<IdempotencyKey> };

export function defineCheckoutModels(sequelize: Sequelize): CheckoutModels {
  const IdempotencyKey = sequelize.define<IdempotencyKey>(
    'IdempotencyKey',
    {
      account_id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true },
      idempotency_key: { type: DataTypes.STRING(200), primaryKey: true },
      request_hash: { type: DataTypes.CHAR(64), allowNull: false },
      state: { type: DataTypes.STRING(16), allowNull: false },
      runner: { type: DataTypes.CHAR(32), allowNull: false },
      leased_until: { type: DataTypes.DATE(3), allowNull: false },
      order_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
      answer_status: { type: DataTypes.SMALLINT.UNSIGNED, allowNull: true },
      answer_type: { type: DataTypes.STRING(100), allowNull: true },
      answer_location: { type: DataTypes.STRING(255), allowNull: true },
      answer_body: { type: DataTypes.TEXT('medium'), allowNull: true },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      expires_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'idempotency_keys', timestamps: false },
  );
  return { IdempotencyKey };
}
