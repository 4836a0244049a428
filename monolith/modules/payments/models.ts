import { DataTypes, type Model, type ModelStatic, type Optional, type Sequelize } from 'sequelize';
import type { PaymentStatus } from './payment-state.ts';

export type PaymentRow = {
  id: number;
  order_id: number;
  account_id: number;
  /** The shop's name for the payment at the provider, and its idempotency key there. */
  reference: string;
  /** The provider's name for the charge, once it is known. */
  provider_charge_id: string | null;
  amount_cents: number;
  currency: string;
  status: PaymentStatus;
  failure_code: string | null;
  /** When the reconciler asks the provider next; null when there is nothing left to ask. */
  check_at: Date | null;
  /** How often the reconciler has asked. */
  checks: number;
  created_at: Date;
  updated_at: Date;
};

/** A webhook that was taken. Its row is written in the transaction of its effect, so that it has one effect. */
export type PaymentEventRow = {
  event_id: string;
  type: string;
  payment_id: number | null;
  effect: string;
  received_at: Date;
};

/** Something to be done about the money of an order. */
export type PaymentErrandRow = {
  id: number;
  order_id: number;
  kind: 'charge' | 'cancel';
  account_id: number;
  amount_cents: number;
  currency: string;
  created_at: Date;
  done_at: Date | null;
};

export type Payment = Model<PaymentRow, Optional<PaymentRow, 'id' | 'provider_charge_id' | 'failure_code' | 'checks'>> &
  PaymentRow;
export type PaymentEvent = Model<PaymentEventRow, PaymentEventRow> & PaymentEventRow;

export type PaymentErrand = Model<PaymentErrandRow, Optional<PaymentErrandRow, 'id'>> & PaymentErrandRow;

export type PaymentsModels = {
  Payment: ModelStatic<Payment>;
  PaymentEvent: ModelStatic<PaymentEvent>;
  PaymentErrand: ModelStatic<PaymentErrand>;
};

export function definePaymentsModels(sequelize: Sequelize): PaymentsModels {
  const Payment = sequelize.define<Payment>(
    'Payment',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      order_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      reference: { type: DataTypes.STRING(64), allowNull: false },
      provider_charge_id: { type: DataTypes.STRING(64), allowNull: true },
      amount_cents: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      currency: { type: DataTypes.CHAR(3), allowNull: false },
      status: { type: DataTypes.STRING(16), allowNull: false },
      failure_code: { type: DataTypes.STRING(64), allowNull: true },
      check_at: { type: DataTypes.DATE(3), allowNull: true },
      checks: { type: DataTypes.INTEGER.UNSIGNED, allowNull: false, defaultValue: 0 },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      updated_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'payments', timestamps: false },
  );
  const PaymentEvent = sequelize.define<PaymentEvent>(
    'PaymentEvent',
    {
      event_id: { type: DataTypes.STRING(64), primaryKey: true },
      type: { type: DataTypes.STRING(64), allowNull: false },
      payment_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: true },
      effect: { type: DataTypes.STRING(32), allowNull: false },
      received_at: { type: DataTypes.DATE(3), allowNull: false },
    },
    { tableName: 'payment_events', timestamps: false },
  );
  const PaymentErrand = sequelize.define<PaymentErrand>(
    'PaymentErrand',
    {
      id: { type: DataTypes.BIGINT.UNSIGNED, primaryKey: true, autoIncrement: true },
      order_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      kind: { type: DataTypes.STRING(16), allowNull: false },
      account_id: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      amount_cents: { type: DataTypes.BIGINT.UNSIGNED, allowNull: false },
      currency: { type: DataTypes.CHAR(3), allowNull: false },
      created_at: { type: DataTypes.DATE(3), allowNull: false },
      done_at: { type: DataTypes.DATE(3), allowNull: true },
    },
    { tableName: 'payment_errands', timestamps: false },
  );
  return { Payment, PaymentEvent, PaymentErrand };
}
