"""What several measurements share: scratch repositories, servers, loads, and a proxy that counts."""
