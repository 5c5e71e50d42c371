"""From candidates to routes: gates, the policy that combines two sides, the routing plan, and the words that explain a decision."""
