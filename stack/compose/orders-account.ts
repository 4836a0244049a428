/** Makes the account by which the orders log in at the shop. */
import { giveOrdersAccount } from '../system/shop-account.ts';

const { DATABASE_URL: shopUrl, SERVICE_PASSWORD: password } = process.env;

if (!shopUrl || !password) {
  process.stderr.write('orders-account: DATABASE_URL and SERVICE_PASSWORD have to be set\n');
  process.exitCode = 2;
} else {
  await giveOrdersAccount(shopUrl, password);
  process.stdout.write("the orders' account at the shop is there\n");
}
