#include "router/pace.h"

/* Lane `server` of every delivery belongs to the same server. */
static void
share_one(const struct routing_users *users, size_t server)
{
	unsigned sharers = 0;

	for (size_t u = 0; u < users->n; u++)
		sharers += delivery_lane(users->deliveries[u], server)->behind;
	for (size_t u = 0; u < users->n; u++)
		delivery_sharers(users->deliveries[u], server, sharers);
}

void
pace_share(const struct routing_users *users)
{
	for (size_t i = 0; users->n > 0 && i < delivery_nservers(users->deliveries[0]); i++)
		share_one(users, i);
}
